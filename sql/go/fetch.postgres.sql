-- The next batch of rows. The batches are large because the importing statement updates the sizes of
-- histories once for each.
FETCH FORWARD 4000 FROM go_rows;
