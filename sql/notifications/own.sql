-- Begins a try: nobody else sends for it, and nothing follows within a second.
UPDATE notifications SET owner = :fence, free_at = :free_at, repeat_at = :repeat_at WHERE id = :id;
