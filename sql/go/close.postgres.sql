-- All rows of the table have been read.
CLOSE go_rows;
