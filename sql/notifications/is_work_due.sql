-- Whether the notifier has something to do, by the indexes of what is due: looked at each second.
SELECT EXISTS (SELECT 1 FROM deliveries WHERE due_at <= :now)
       OR EXISTS (SELECT 1 FROM notifications WHERE repeat_at <= :now)
       OR EXISTS (SELECT 1 FROM alerts WHERE remind_at <= :now)
       OR EXISTS (SELECT 1 FROM streaks WHERE success_due_at <= :now) AS is_due;
