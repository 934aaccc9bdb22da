-- From now on: what went by meanwhile is not made up for.
UPDATE schedules SET next_fire_time = :next_fire_time, planned_at = :now WHERE id = :id;
