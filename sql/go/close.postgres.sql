-- All rows of a table have been read.
CLOSE go_rows;
