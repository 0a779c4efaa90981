//! `history`: what the reaper has written down of servers that came and went.

use crate::desk::Desk;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_and_what_lives_is_in_the_history() {
    let desk = Desk::small().await;
    desk.verb(&["history"])
        .await
        .expect(1, &["no history has been written", "history.db"]);
    let over = desk.lab.server("over, \"quoted\"", -60).await;
    let living = desk.lab.server("living", 3600).await;
    desk.verb(&["run", "--once"]).await.expect(0, &["1 deleted"]);

    let (_, all) = desk.json(&["history"]).await;
    assert_eq!(all["servers"].as_array().unwrap().len(), 2);
    let (_, ended) = desk
        .json(&["history", "--end-reason", "expired", "--pool", "lab1"])
        .await;
    let ended = &ended["servers"][0];
    assert_eq!(
        (&ended["vm_uuid"], &ended["owner"]),
        (&over.uuid.clone().into(), &"ci/nightly".into())
    );
    assert!(ended["delete_seconds"].as_f64().is_some() && ended["disk_bytes"].as_u64().is_some());
    let (_, lives) = desk.json(&["history", "--living"]).await;
    assert_eq!(lives["servers"][0]["vm_uuid"], living.uuid.as_str());
    let (_, none) = desk.json(&["history", "--owner", "nobody*"]).await;
    assert_eq!(none["servers"].as_array().unwrap().len(), 0);

    let csv = desk
        .verb(&["history", "-o", "csv", "--name", "over*"])
        .await
        .expect(0, &["\"over, \"\"quoted\"\"\""]);
    let head = csv.out.lines().next().unwrap();
    assert!(head.starts_with("vm_uuid,name,owner,pool,host,os,template,cpus,memory_bytes,disk_bytes,ip_addresses,"));
    assert_eq!(csv.out.lines().count(), 2);
    desk.verb(&["history"])
        .await
        .expect(0, &["DELETED AT", "expired", "debian12"]);
    desk.verb(&["history", "--limit", "1", "-o", "csv"])
        .await
        .expect(0, &["living"]);

    let (_, totals) = desk.json(&["history", "--totals", "os"]).await;
    assert_eq!(
        (&totals["totals"][0]["key"], &totals["totals"][0]["servers"]),
        (&"debian12".into(), &2.into())
    );
    desk.verb(&["history", "--totals", "owner"])
        .await
        .expect(0, &["ci/nightly  2"]);
    let (_, renewals) = desk.json(&["history", "--renewals", &living.uuid]).await;
    assert_eq!(renewals["renewals"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_makes_no_file_and_contacts_no_pool() {
    let desk = Desk::small().await;
    desk.verb(&["history", "--totals", "os"])
        .await
        .expect(1, &["no history has been written"]);
    assert!(!desk.state_dir().exists() && desk.lab.control.requests().is_empty());
    desk.configure(&desk.lab.control.pools(), "history = \"none\"");
    desk.verb(&["history"]).await.expect(1, &["no history is kept"]);
    desk.verb(&["run", "--once"]).await.expect(0, &["0 deleted"]);
    assert!(!desk.state_dir().join("history.db").exists());
}
