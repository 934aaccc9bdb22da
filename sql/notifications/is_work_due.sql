-- Whether the notifier has work, by the indexes of due rows. It asks every second.
SELECT EXISTS (SELECT 1 FROM deliveries WHERE due_at <= :now)
       OR EXISTS (SELECT 1 FROM notifications WHERE repeat_at <= :now)
       OR EXISTS (SELECT 1 FROM alerts WHERE remind_at <= :now)
       OR EXISTS (SELECT 1 FROM streaks WHERE success_due_at <= :now) AS is_due;
