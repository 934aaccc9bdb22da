-- The next batch of the rows that are being read.
FETCH FORWARD 500 FROM go_rows;
