-- Whether this session is the one that was marked.
SELECT COALESCE(current_setting('ocf_scheduler.session', TRUE) = :mark, FALSE) AS has_mark;
