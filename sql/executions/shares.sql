-- Shares that have PENDING executions, in order, after :after. Each costs one step in executions_by_share, so
-- the long backlog of one share is not read. Nothing is due before :since; see look.
WITH RECURSIVE shares (share, number) AS (
    SELECT MIN(e.share), 1
      FROM executions AS e
     WHERE e.kind = :kind AND e.dispatch_time IS NOT NULL AND e.share > :after
--pg   AND e.dispatch_time >= :since
     UNION ALL
    SELECT (SELECT MIN(e.share)
              FROM executions AS e
             WHERE e.kind = :kind AND e.dispatch_time IS NOT NULL AND e.share > shares.share
--pg           AND e.dispatch_time >= :since
           ), number + 1
      FROM shares
     WHERE share IS NOT NULL AND number < CAST(:limit AS BIGINT)
)
SELECT share FROM shares WHERE share IS NOT NULL;
