//! A server's life when nothing goes wrong.

use crate::lab::{Lab, spec};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_comes_lives_and_goes_without_a_trace() {
    let lab = Lab::small().await;
    let before = lab.control.world();
    let server = lab.create(spec("web-1")).await.unwrap();
    for r in lab.requests() {
        println!(
            "{:>3} {:>8} {:>8} {} {} {:?}",
            r.index,
            r.started_us,
            r.ended_us.unwrap_or(0),
            r.method,
            r.outcome,
            r.after
        );
    }
    println!("{server:#?}");
    lab.control.reset_requests();
    let read = lab.read(&server.key()).await.unwrap().unwrap();
    for r in lab.requests() {
        println!(
            "{:>3} {:>8} {:>8} {} {}",
            r.index,
            r.started_us,
            r.ended_us.unwrap_or(0),
            r.method,
            r.outcome
        );
    }
    assert_eq!(read.id, server.id);
    lab.control.reset_requests();
    let report = lab.delete(&server).await.unwrap();
    for r in lab.requests() {
        println!(
            "{:>3} {:>8} {:>8} {} {}",
            r.index,
            r.started_us,
            r.ended_us.unwrap_or(0),
            r.method,
            r.outcome
        );
    }
    println!("{report:?}");
    assert_eq!(lab.control.world(), before);
}
