-- The database's clock, and whether there is anything to take over or to shorten (instances/shorten, ended
-- and missing). Mostly there is not, and no transaction is needed. By executions_by_owner.
SELECT now_nanos() AS now,
       EXISTS (SELECT 1 FROM instances WHERE lease_until < now_nanos() OR lease_until > now_nanos() + :lease)
       OR EXISTS (SELECT 1
                    FROM executions AS e
                   WHERE e.owner IS NOT NULL
                         AND NOT EXISTS (SELECT 1 FROM instances AS i WHERE i.id = e.owner))
           AS is_to_take_over;
