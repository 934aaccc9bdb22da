-- The next batch of the rows that are being read. Large ones: what takes them in counts the sizes of
-- histories once for each.
FETCH FORWARD 4000 FROM go_rows;
