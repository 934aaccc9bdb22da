//! Views across jobs and calls: the executions of a space, and upcoming fire times.

use serde_json::{Value, json};

use super::database::is_postgres;
use super::world::{APP, FOREIGN_SPACE, SPACE, World, request, wait_for};

fn names(page: &Value) -> Vec<&str> {
    page["resources"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

/// The path and query of a link.
fn target(world: &World, link: &Value) -> String {
    link["href"].as_str().unwrap().strip_prefix(&world.url()).unwrap().to_owned()
}

/// A failed call, then two executions of a job, one of which is still running.
fn filled(world: &World) -> (String, String) {
    let (job, call) = (world.job("j"), world.call("c", "test.url"));
    world.post(&format!("/calls/{call}/execute"), "");
    world.ended(&format!("/calls/{call}"));
    world.post(&format!("/jobs/{job}/execute"), "");
    world.post(&format!("/jobs/{job}/execute"), "");
    (job, call)
}

#[test]
fn the_fire_times_to_come_are_counted_by_quarters_and_hours() {
    let world = World::start();
    let jobs = ["hourly", "daily", "often", "paused"].map(|name| world.job(name));
    // The daily one fires neither in this quarter of an hour nor in the one that ends the 24 hours.
    let now = world.get(&format!("/jobs/{}", jobs[0])).json()["created_at"].as_str().unwrap().to_owned();
    let daily = format!("30 {} * * *", (now[11..13].parse::<u32>().unwrap() + 12) % 24);
    let expressions = ["5,20 * * * *", &daily, "* * * * *", "0 * * * *"];
    for (job, expression) in jobs.iter().zip(expressions) {
        world.post(&format!("/jobs/{job}/schedules"), &json!({"expression": expression}).to_string());
    }
    assert_eq!(world.patch(&format!("/jobs/{}", jobs[3]), r#"{"paused":true}"#).status, 200);
    let counts = world.get(&format!("/upcoming/counts?space_guid={SPACE}"));
    assert_eq!(counts.status, 200, "{}", counts.body);
    let counts = counts.json();
    let sum = |name: &str| -> u64 {
        counts[name].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
    };
    let (quarters, hours) = (counts["quarters"].as_array().unwrap(), counts["hours"].as_array().unwrap());
    assert_eq!((quarters.len(), hours.len()), (96, 168));
    // The first quarter and hour have begun, so what fired in them is over.
    assert!((47..=49).contains(&sum("quarters")), "{counts}");
    assert!((2 * 167 + 6..=2 * 168 + 8).contains(&sum("hours")), "{counts}");
    assert!(hours[1..].iter().all(|count| (2..=3).contains(&count.as_u64().unwrap())), "{counts}");
    let often = &counts["often"];
    assert_eq!((&often["count"], &often["resources"][0]["name"]), (&json!(1), &json!("often")));
    let busiest = counts["busiest"].as_array().unwrap();
    let busiest: Vec<&str> = busiest.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(busiest, ["hourly", "daily"]);
    let same = |path: &str| {
        let mut other = world.get(path).json();
        other["counted_at"] = counts["counted_at"].clone();
        other
    };
    assert_eq!(same("/upcoming/counts"), counts);
    assert_eq!(world.get("/upcoming/counts?page=1").status, 422);
    assert_eq!(world.get(&format!("/upcoming/counts?space_guid={FOREIGN_SPACE}")).status, 401);
}

#[test]
fn executions_of_a_space_come_together_and_each_filter_holds() {
    let world = World::start();
    let (job, call) = filled(&world);
    let all = world.get("/executions").json();
    assert_eq!(names(&all), ["j", "j", "c"]);
    assert_eq!(all["pagination"]["more"], false);
    assert_eq!((&all["pagination"]["next"], &all["pagination"]["last"]), (&Value::Null, &Value::Null));
    assert_eq!(all["pagination"]["total_results"], 3);
    let failed = &all["resources"][2];
    assert_eq!((&failed["kind"], &failed["state"]), (&json!("call"), &json!("FAILED")));
    assert_eq!((&failed["call_guid"], &failed["trigger"]), (&json!(call), &json!("manual")));
    assert_eq!((&failed["space_guid"], failed.get("job_guid")), (&json!(SPACE), None));
    let (created, ended) =
        (failed["created_at"].as_str().unwrap(), failed["execution_end_time"].as_str().unwrap());
    let expected: [(String, &[&str]); 19] = [
        ("name=J".to_owned(), &["j", "j"]),
        ("name=%25".to_owned(), &[]),
        (format!("space_guid={SPACE}"), &["j", "j", "c"]),
        ("states=FAILED".to_owned(), &["c"]),
        ("states=PENDING,RUNNING".to_owned(), &["j", "j"]),
        ("states=SUCCEEDED,SKIPPED".to_owned(), &[]),
        ("states=SKIPPED".to_owned(), &[]),
        ("kinds=call".to_owned(), &["c"]),
        ("kinds=job,call".to_owned(), &["j", "j", "c"]),
        (format!("job_guids={job}"), &["j", "j"]),
        (format!("job_guids={job}&states=FAILED"), &[]),
        (format!("call_guids={call}"), &["c"]),
        (format!("job_guids={call}"), &[]),
        (format!("job_guids={job}&call_guids={call}"), &["j", "j", "c"]),
        (format!("job_guids={job}&kinds=call"), &[]),
        ("triggers=schedule".to_owned(), &[]),
        (format!("created_ats[gt]={created}"), &["j", "j"]),
        (format!("ended_ats[lt]={ended}"), &[]),
        ("ended_ats%5Bgt%5D=2020-01-01T00:00:00Z".to_owned(), &["c"]),
    ];
    for (query, expected) in expected {
        let page = world.get(&format!("/executions?{query}")).json();
        assert_eq!(names(&page), expected, "{query}");
    }
}

#[test]
fn executions_are_read_page_by_page_by_the_link_of_each() {
    let world = World::start();
    filled(&world);
    let mut page = world.get("/executions?per_page=1&kinds=job,call").json();
    let mut seen = Vec::new();
    loop {
        seen.extend(names(&page).into_iter().map(str::to_owned));
        assert!(page["resources"].as_array().unwrap().len() <= 1);
        if page["pagination"]["next"].is_null() {
            break;
        }
        // New executions do not shift the pages.
        world.job(&format!("another-{}", seen.len()));
        page = world.get(&target(&world, &page["pagination"]["next"])).json();
    }
    assert_eq!(seen, ["j", "j", "c"]);
}

#[test]
fn an_unknown_parameter_or_a_value_without_sense_is_422() {
    let world = World::start();
    for query in [
        "page=1",
        "per_page=0",
        "per_page=501",
        "state=FAILED",
        "states=failed",
        "states=",
        "kinds=task",
        "triggers=me",
        "job_guids=",
        "job_guids=a,,b",
        "created_ats[gt]=yesterday",
        "cursor=x",
    ] {
        assert_eq!(world.get(&format!("/executions?{query}")).status, 422, "{query}");
    }
    for query in ["page=1", "limit=0", "limit=1001", "until=soon", "states=FAILED"] {
        assert_eq!(world.get(&format!("/upcoming?{query}")).status, 422, "{query}");
    }
}

#[test]
fn nobody_sees_executions_or_fire_times_of_a_space_without_a_role() {
    let world = World::start();
    let (job, _) = filled(&world);
    world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"* * * * *"}"#);
    let stranger = world.cf.issue_cf_token("stranger");
    let ask = |path: &str| request(&world.url(), "GET", path, Some(&stranger), &[], "");
    assert_eq!(ask("/executions").json()["resources"], json!([]));
    assert_eq!(ask(&format!("/executions?job_guids={job}")).json()["resources"], json!([]));
    assert_eq!(ask("/upcoming").json()["resources"], json!([]));
    let other = world.get(&format!("/jobs?space_guid={FOREIGN_SPACE}")).status;
    assert_eq!(world.get(&format!("/executions?space_guid={FOREIGN_SPACE}")).status, other);
    assert_eq!(world.get(&format!("/upcoming?space_guid={FOREIGN_SPACE}")).status, other);
    let all = world.get("/executions").json();
    let one = format!("/executions/{}", all["resources"][2]["guid"].as_str().unwrap());
    let mut whole = world.get(&one).json();
    assert_eq!(
        whole.as_object_mut().unwrap().remove("attempt_history").unwrap().as_array().unwrap().len(),
        1
    );
    assert_eq!(whole, all["resources"][2]);
    assert_eq!((ask(&one).status, world.get("/executions/nope").status), (404, 404));
    world.delete(&format!("/jobs/{job}"));
    assert_eq!(names(&world.get("/executions").json()), ["c"]);
}

#[test]
fn what_fires_next_is_in_order_of_time_and_no_schedule_hides_the_others() {
    let world = World::start();
    let (job, call) = (world.job("j"), world.call("c", "test.url"));
    let schedule = |of: &str, expression: &str| {
        world.post(&format!("{of}/schedules"), &json!({"expression": expression}).to_string()).guid()
    };
    let (job, call) = (format!("/jobs/{job}"), format!("/calls/{call}"));
    let often = schedule(&job, "* * * * *");
    let yearly = schedule(&call, "0 0 1 1 *");
    let off = schedule(&call, "* * * * *");
    world.patch(&format!("{call}/schedules/{off}"), r#"{"enabled":false}"#);

    let upcoming = |query: &str| world.get(&format!("/upcoming{query}")).json()["resources"].clone();
    let of = |fire_times: &Value| -> Vec<String> {
        let guid = |it: &Value| it["schedule_guid"].as_str().unwrap().to_owned();
        fire_times.as_array().unwrap().iter().map(guid).collect()
    };
    let day = upcoming("");
    assert_eq!(of(&day), vec![often.clone(); 20]);
    assert_eq!((day[19].get("more_of_this"), day[18].get("more_of_this")), (Some(&json!(true)), None));
    let times: Vec<&str> =
        day.as_array().unwrap().iter().map(|it| it["fire_time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let years = upcoming("?until=2199-01-01T00:00:00Z&limit=22");
    assert_eq!(of(&years)[19..], [often.clone(), yearly.clone(), yearly.clone()]);
    assert_eq!(of(&upcoming("?limit=3")), vec![often.clone(); 3]);

    let tokyo = json!({"expression": "0 0 1 1 *", "timezone": "Asia/Tokyo"}).to_string();
    let tokyo = world.post(&format!("{call}/schedules"), &tokyo).guid();
    let years = upcoming("?until=2199-01-01T00:00:00Z&limit=22");
    let local = |guid: &str| {
        let it = years.as_array().unwrap().iter().find(|it| it["schedule_guid"] == guid).unwrap();
        (
            it["fire_time"].as_str().unwrap()[4..].to_owned(),
            it["local_time"].as_str().unwrap()[4..].to_owned(),
        )
    };
    assert_eq!(local(&tokyo), ("-12-31T15:00:00Z".to_owned(), "-01-01T00:00:00+09:00".to_owned()));
    assert_eq!(local(&yearly), ("-01-01T00:00:00Z".to_owned(), "-01-01T00:00:00Z".to_owned()));
    world.delete(&format!("{call}/schedules/{tokyo}"));

    world.patch(&job, r#"{"paused":true}"#);
    assert_eq!(upcoming(""), json!([]));
    let space = format!("/spaces/{SPACE}");
    // These would fire first without the pause, and never after it.
    for _ in 0..2 {
        let ending = r#"{"expression":"* * * * *","ends_at":"2098-01-01T00:00:00Z"}"#;
        world.post(&format!("{call}/schedules"), ending);
    }
    world.patch(&space, r#"{"paused":true,"paused_until":"2099-12-31T12:00:00Z"}"#);
    let first = upcoming("?until=2199-01-01T00:00:00Z&limit=1");
    assert_eq!(first[0]["fire_time"], "2100-01-01T00:00:00Z", "the first after the pause");
    world.patch(&space, r#"{"paused_until":null}"#);
    assert_eq!(upcoming("?until=2199-01-01T00:00:00Z"), json!([]));
}

#[test]
fn one_request_looks_at_a_bounded_number_of_executions_and_says_so() {
    let world = World::start();
    filled(&world);
    let rows = if is_postgres() {
        "SELECT 'g' || i, 1, 'job', 'SUCCEEDED', 1, 1, 2 FROM generate_series(1, 20100) AS i"
    } else {
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20100)
         SELECT 'g' || i, 1, 'job', 'SUCCEEDED', 1, 1, 2 FROM n"
    };
    world.database().execute(&format!(
        "INSERT INTO executions (guid, executable_id, kind, state, asked_at, created_at, end_time) {rows}"
    ));
    let mut page = world.get("/executions?reasons=no_answer,not_sent,status").json();
    let mut pages = 0;
    while page["pagination"]["more"] == true {
        assert_eq!(names(&page), [] as [&str; 0]);
        let looked_at = page["pagination"]["total_results"].as_u64().unwrap();
        assert!((1..=20_000).contains(&looked_at), "{looked_at}");
        pages += 1;
        page = world.get(&target(&world, &page["pagination"]["next"])).json();
    }
    assert_eq!((names(&page), pages > 0), (vec!["c"], true));
    // Indexes have what is rare. After the newest 500 executions these are used.
    for query in ["states=FAILED,SKIPPED", "ended_ats[gt]=2000-01-01T00:00:00Z&kinds=call"] {
        let page = world.get(&format!("/executions?{query}")).json();
        assert_eq!(names(&page), ["c"], "{query}");
        assert_eq!(page["pagination"]["more"], false, "{query}");
    }
}

/// Every filter has its own way through the indexes. All of them return what reading everything would.
#[test]
fn a_filter_finds_the_same_executions_by_whichever_index_it_is_searched() {
    let world = World::start();
    let (job, call) = (world.job("j"), world.call("c", "test.url"));
    let schedule = world.post(&format!("/jobs/{job}/schedules"), r#"{"expression":"0 0 1 1 *"}"#).guid();
    let numbers = if is_postgres() {
        "SELECT i FROM generate_series(1, 3000) AS n (i)"
    } else {
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) SELECT i FROM n"
    };
    let instant = |seconds: i64| (1_700_000_000 + seconds) * 1_000_000_000;
    // Neither the times of creation nor those of the end follow the ids.
    world.database().execute(&format!(
        "INSERT INTO executions (guid, executable_id, kind, schedule_id, scheduled_time, state, reason,
                                 asked_at, created_at, start_time, end_time)
         SELECT 'g' || i, CASE i % 3 WHEN 0 THEN 2 ELSE 1 END, CASE i % 3 WHEN 0 THEN 'call' ELSE 'job' END,
                CASE i % 6 WHEN 1 THEN 1 END, CASE i % 6 WHEN 1 THEN i END,
                CASE WHEN i % 17 = 0 THEN 'FAILED' WHEN i % 113 = 0 THEN 'SKIPPED' ELSE 'SUCCEEDED' END,
                CASE WHEN i % 17 = 0 THEN 'timeout' END, 1,
                {from} + (i * 37 % 3000) * {second}, {from}, {from} + (i * 41 % 3000) * {second}
           FROM ({numbers}) AS numbers",
        from = instant(0),
        second = "CAST(1000000000 AS BIGINT)",
    ));
    let pages = |query: &str| {
        let mut rows = Vec::new();
        let mut page = world.get(&format!("/executions?{query}")).json();
        loop {
            rows.extend(page["resources"].as_array().unwrap().iter().cloned());
            let next = &page["pagination"]["next"];
            if next.is_null() {
                return rows;
            }
            page = world.get(&target(&world, next)).json();
        }
    };
    let all = pages("per_page=500");
    assert_eq!(all.len(), 3000);
    // 1,700,000,000 seconds after 1970, and some minutes.
    let (from, to) = ("2023-11-14T22:30:00Z", "2023-11-14T22:37:00Z");
    let is_between = |row: &Value, field: &str| row[field].as_str().is_some_and(|it| from < it && it < to);
    type Matches<'a> = Box<dyn Fn(&Value) -> bool + 'a>;
    let expected: [(String, Matches<'_>); 9] = [
        (
            "name=c&states=FAILED,SUCCEEDED".to_owned(),
            Box::new(|row| row["name"] == "c" && row["state"] != "SKIPPED"),
        ),
        ("states=FAILED".to_owned(), Box::new(|row| row["state"] == "FAILED")),
        ("states=SKIPPED,RUNNING,PENDING".to_owned(), Box::new(|row| row["state"] == "SKIPPED")),
        (
            "reasons=timeout&kinds=call".to_owned(),
            Box::new(|row| row["reason"] == "timeout" && row["kind"] == "call"),
        ),
        (
            format!("job_guids={job}&states=FAILED"),
            Box::new(|row| row["state"] == "FAILED" && row["kind"] == "job"),
        ),
        (
            format!("job_guids={job}&call_guids={call}&states=SKIPPED"),
            Box::new(|row| row["state"] == "SKIPPED"),
        ),
        (format!("schedule_guids={schedule}"), Box::new(|row| row["schedule_guid"] == schedule.as_str())),
        (
            format!("created_ats[gt]={from}&created_ats[lt]={to}"),
            Box::new(|row| is_between(row, "created_at")),
        ),
        (
            format!("ended_ats[gt]={from}&ended_ats[lt]={to}&states=FAILED"),
            Box::new(|row| is_between(row, "execution_end_time") && row["state"] == "FAILED"),
        ),
    ];
    for (query, matches) in expected {
        let expected: Vec<&Value> = all.iter().filter(|row| matches(row)).collect();
        assert!(!expected.is_empty(), "{query}");
        for per_page in [7, 500] {
            let found = pages(&format!("{query}&per_page={per_page}"));
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}, {per_page} a page");
        }
    }
    // A schedule that is disabled ends what is PENDING by a mark, before the rows say so.
    world.database().execute(
        "UPDATE executions SET state = 'PENDING', end_time = NULL, start_time = NULL,
                               dispatch_time = 9000000000000000000
          WHERE guid = 'g7'",
    );
    world.database().execute(&format!(
        "UPDATE schedules SET cancelled_up_to = 3000, cancel_reason = 'disabled', cancelled_at = {}",
        instant(1_200)
    ));
    for query in ["states=FAILED&job_guids={job}", "states=FAILED", "ended_ats[gt]={from}&ended_ats[lt]={to}"]
    {
        let query = query.replace("{job}", &job).replace("{from}", from).replace("{to}", to);
        assert!(pages(&query).iter().any(|row| row["guid"] == "g7"), "{query}");
    }
}

#[test]
fn labels_select_jobs_calls_and_their_executions() {
    let world = World::start();
    let labelled = |kind: &str, name: &str, labels: &Value| {
        let own = if kind == "jobs" {
            json!({"command": "true"})
        } else {
            json!({"url": "http://x/", "auth_header": ""})
        };
        let mut body = json!({"name": name, "metadata": {"labels": labels}});
        body.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let made = world.post(&format!("/{kind}?app_guid={APP}"), &body.to_string());
        assert_eq!(made.status, 201, "{}", made.body);
        assert_eq!(world.post(&format!("/{kind}/{}/execute", made.guid()), "").status, 201);
    };
    labelled("jobs", "a", &json!({"team": "billing", "example.com/tier": "one", "x_y": "v_1"}));
    labelled("jobs", "b", &json!({"team": "shop", "old": "", "xzy": "vz1"}));
    labelled("jobs", "c", &json!({}));
    labelled("calls", "d", &json!({"team": "billing"}));
    let names = |path: &str| {
        let page = world.get(path).json();
        let mut names: Vec<String> = names(&page).into_iter().map(str::to_owned).collect();
        names.sort();
        names
    };
    for (selector, jobs) in [
        ("team", vec!["a", "b"]),
        ("!team", vec!["c"]),
        ("team=billing", vec!["a"]),
        ("team==shop", vec!["b"]),
        ("team!=billing", vec!["b", "c"]),
        ("team in (billing, shop),!old", vec!["a"]),
        ("team notin (shop)", vec!["a", "c"]),
        ("example.com/tier=one", vec!["a"]),
        ("old=", vec!["b"]),
        ("nobody=has", vec![]),
        // Neither a part of a key or value, nor something that matches as a pattern.
        ("tier=one", vec![]),
        ("eam", vec![]),
        ("billing", vec![]),
        ("team=bill", vec![]),
        ("team in (bill,sho)", vec![]),
        ("x_y", vec!["a"]),
        ("x_y=v_1", vec!["a"]),
        ("x_y!=v_1", vec!["b", "c"]),
        ("!x_y", vec!["b", "c"]),
    ] {
        let query = selector.replace(' ', "%20");
        for detailed in ["", "&detailed=true", "&page=1&per_page=50", &format!("&space_guid={SPACE}")] {
            assert_eq!(names(&format!("/jobs?label_selector={query}{detailed}")), jobs, "{selector}");
        }
        let counted = world.get(&format!("/jobs?label_selector={query}")).json();
        assert_eq!(counted["pagination"]["total_results"], jobs.len(), "{selector}");
        assert_eq!(names(&format!("/executions?kinds=job&label_selector={query}")), jobs, "{selector}");
    }
    assert_eq!(names("/calls?label_selector=team=billing"), ["d"]);
    assert_eq!(names("/executions?label_selector=team=billing"), ["a", "d"]);
    for list in ["jobs", "calls", "executions"] {
        assert_eq!(world.get(&format!("/{list}?label_selector=a%20is%20b")).status, 422);
    }
}

#[test]
fn a_history_can_be_asked_for_a_part_of_it() {
    let world = World::start();
    let job = world.job("j");
    let path = format!("/jobs/{job}");
    let schedule = world.post(&format!("{path}/schedules"), r#"{"expression":"@every 1s"}"#).guid();
    wait_for(|| (world.cf.tasks().len() > 2).then_some(()));
    world.patch(&format!("{path}/schedules/{schedule}"), r#"{"enabled":false}"#);
    world.post(&format!("{path}/execute"), "");
    wait_for(|| {
        (world.get(&format!("{path}/history?states=PENDING")).json()["resources"] == json!([])).then_some(())
    });
    world.cf.set_task_state(&world.cf.tasks()[0].guid, "FAILED", Some("no"));
    let failed = wait_for(|| {
        let failed = world.get(&format!("{path}/history?states=FAILED&reasons=task_failed")).json();
        (failed["pagination"]["total_results"] == 1).then_some(failed)
    });
    assert_eq!(failed["resources"][0]["message"], "no");
    let count = |query: &str| {
        let found = world.get(&format!("{path}/{query}")).json();
        assert_eq!(found["resources"].as_array().unwrap().len(), found["pagination"]["total_results"]);
        found["resources"].as_array().unwrap().len()
    };
    let all = count("history");
    assert_eq!(count("history?triggers=manual"), 1);
    assert_eq!(count("history?triggers=schedule"), all - 1);
    assert_eq!(count(&format!("schedules/{schedule}/history?states=RUNNING,FAILED")), all - 1);
    assert_eq!(count(&format!("schedules/{schedule}/history?triggers=manual")), 0);
    assert_eq!(count("history?created_ats[lt]=2020-01-01T00:00:00Z"), 0);
    assert_eq!(count("history?created_ats[gt]=2020-01-01T00:00:00Z&what=ever"), all);
    assert_eq!(world.get(&format!("{path}/history?states=GONE")).status, 422);
    let pages = world.get(&format!("{path}/history?states=RUNNING&page=2&per_page=1")).json();
    assert_eq!(pages["pagination"]["total_results"], all - 1);
    assert_eq!(pages["resources"].as_array().unwrap().len(), 1);
}

#[test]
fn a_detailed_list_shows_when_each_fires_next_and_what_ran_last() {
    let world = World::start();
    let job = world.job("j");
    let path = format!("/jobs/{job}");
    let shown = || world.get("/jobs?detailed=true").json()["resources"][0].clone();
    assert_eq!((&shown()["next_fire_time"], &shown()["last_execution"]), (&Value::Null, &Value::Null));
    world.post(&format!("{path}/schedules"), r#"{"expression":"0 0 1 1 *","timezone":"UTC"}"#);
    world.post(&format!("{path}/schedules"), r#"{"expression":"@yearly","enabled":false}"#);
    let execution = world.post(&format!("{path}/execute"), "").guid();
    wait_for(|| (shown()["last_execution"]["state"] == "RUNNING").then_some(()));
    assert_eq!(shown()["last_execution"]["guid"], execution);
    assert!(shown()["next_fire_time"].as_str().unwrap().ends_with("-01-01T00:00:00Z"), "{}", shown());
    world.patch(&path, r#"{"paused":true,"concurrency_policy":"Forbid"}"#);
    assert_eq!(world.post(&format!("{path}/execute"), "").json()["state"], "SKIPPED");
    assert_eq!(
        (&shown()["next_fire_time"], &shown()["last_execution"]["guid"]),
        (&Value::Null, &json!(execution))
    );
    assert!(world.get(&path).json().get("last_execution").is_none());
}
