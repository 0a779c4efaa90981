//! A few minutes of the soak, of a seed that is always the same.

use std::time::Duration;

use soak::Soak;

#[test]
fn a_few_busy_minutes_leave_nothing_and_break_no_promise() {
    let soak = Soak {
        seed: 1,
        pipelines: 30,
        time: Duration::from_secs(8 * 60),
    };
    let report = soak.run().unwrap();
    if let Err(error) = report.outcome {
        panic!(
            "{error:#}\n{}\n{}\nagain: make soak SEED=1 MINUTES=8 PIPELINES=30",
            report.tail, report.counts
        );
    }
    assert!(report.counts.contains("servers made"), "{}", report.counts);
}
