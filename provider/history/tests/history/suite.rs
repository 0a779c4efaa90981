//! What every sink does alike.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use history::{EndReason, Entry, Filter, GroupBy, History, ServerRow, SinkUrl, Total, merge};
use tokio::task::JoinSet;

use crate::facts::{all, at, born, ended, full, renewal, renewed, server, text, vm, vms};

/// A behaviour; it is given a sink that nobody has used.
pub(crate) type Behaviour = fn(SinkUrl) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! behaviours {
    ($($name:ident),+ $(,)?) => {
        /// All behaviours, by name.
        pub(crate) const BEHAVIOURS: &[(&str, Behaviour)] = &[$((stringify!($name), |url| Box::pin($name(url)))),+];
    };
}

behaviours!(
    opens_what_is_not_there_and_what_is,
    an_unused_history_is_opened_by_its_first_use,
    keeps_every_column,
    keeps_rows_that_say_little,
    sums_by_the_merge_rule_in_any_order,
    counts_a_renewal_once_and_moves_the_expiry,
    lists_the_newest_first_through_filters,
    finds_the_living_of_a_pool,
    sums_up_by_owner_and_os,
    many_write_at_once,
);

/// Runs all behaviours, each on a sink of its own.
pub(crate) async fn run(sink: impl Fn(&str) -> SinkUrl) {
    for (name, behaviour) in BEHAVIOURS {
        println!("{name}");
        behaviour(sink(name)).await;
    }
}

async fn opens_what_is_not_there_and_what_is(url: SinkUrl) {
    for _ in 0..2 {
        let history = History::open(&url).await.unwrap();
        assert_eq!(history.url(), &url);
        assert!(all(&history).await.is_empty());
        history.write(&[]).await.unwrap();
        history.close().await.unwrap();
    }
    let (one, other) = tokio::join!(History::open(&url), History::open(&url));
    one.unwrap().write(&[server(born(1, 0))]).await.unwrap();
    assert_eq!(all(&other.unwrap()).await, [born(1, 0)]);
}

async fn an_unused_history_is_opened_by_its_first_use(url: SinkUrl) {
    History::new(&url).close().await.unwrap();
    assert!(url.path().is_none_or(|path| !path.exists()));
    let history = History::new(&url);
    history
        .write_within(&[server(born(1, 0))], Duration::from_secs(60))
        .await
        .unwrap();
    history.close().await.unwrap();
    assert_eq!(all(&History::new(&url)).await, [born(1, 0)]);
}

async fn keeps_every_column(url: SinkUrl) {
    let history = History::open(&url).await.unwrap();
    history.write(&[server(full(1))]).await.unwrap();
    assert_eq!(all(&history).await, [full(1)]);
}

async fn keeps_rows_that_say_little(url: SinkUrl) {
    let history = History::open(&url).await.unwrap();
    let odd = ServerRow {
        name: text(""),
        owner: text("a\0b\nc"),
        memory_bytes: Some(u64::MAX),
        create_seconds: Some(f64::INFINITY),
        ..ServerRow::new(vm(2))
    };
    history
        .write(&[server(ServerRow::new(vm(1))), server(odd)])
        .await
        .unwrap();
    let rows = all(&history).await;
    assert_eq!(rows[0], ServerRow::new(vm(1)));
    assert_eq!((&rows[1].name, &rows[1].owner), (&text(""), &text("ab\nc")));
    assert_eq!(rows[1].memory_bytes, Some(u64::MAX >> 1));
}

async fn sums_by_the_merge_rule_in_any_order(url: SinkUrl) {
    let history = History::open(&url).await.unwrap();
    let seen = |n, address: &str| ServerRow {
        host: text("host-1"),
        ip_addresses: [address.parse().unwrap()].into(),
        expires_at: Some(at(60)),
        ..ServerRow::new(vm(n))
    };
    let told = |n| {
        [
            born(n, 0),
            seen(n, "10.0.0.1"),
            ended(n, 50, EndReason::Vanished),
            ended(n, 40, EndReason::Destroyed),
            ended(n, 45, EndReason::Vanished),
            seen(n, "10.0.0.2"),
        ]
    };
    // Told in three ways: one by one, all at once, and backwards.
    for row in told(1) {
        history.write(&[server(row)]).await.unwrap();
    }
    history.write(&told(2).map(server)).await.unwrap();
    for row in told(3).into_iter().rev() {
        history.write(&[server(row)]).await.unwrap();
    }
    let expect = |n| {
        let mut known = ServerRow::new(vm(n));
        told(n).iter().for_each(|row| merge(&mut known, row));
        known
    };
    let rows = all(&history).await;
    assert_eq!(rows, [expect(1), expect(2), expect(3)]);
    assert_eq!((rows[0].deleted_at, rows[0].live_seconds), (Some(at(40)), Some(2400.0)));
}

async fn counts_a_renewal_once_and_moves_the_expiry(url: SinkUrl) {
    let history = History::open(&url).await.unwrap();
    let longer = renewal(1, 30, 120, Some("dynvm-reaper/1 for ci"));
    let shorter = renewal(1, 40, 90, None);
    let unsigned = renewal(1, 30, 120, None);
    history
        .write(&[server(born(1, 0)), renewed(&shorter), renewed(&unsigned)])
        .await
        .unwrap();
    history
        .write(&[renewed(&longer), renewed(&renewal(2, 5, 6, None))])
        .await
        .unwrap();
    history.write(&[renewed(&unsigned), renewed(&shorter)]).await.unwrap();
    assert_eq!(history.renewals(vm(1)).await.unwrap(), [longer, shorter]);
    assert_eq!(history.renewals(vm(2)).await.unwrap().len(), 1);
    assert!(history.renewals(vm(3)).await.unwrap().is_empty());
    let rows = all(&history).await;
    assert_eq!(
        rows[0],
        ServerRow {
            expires_at: Some(at(120)),
            ..born(1, 0)
        }
    );
    assert_eq!(rows[1].expires_at, Some(at(6)));
}

async fn lists_the_newest_first_through_filters(url: SinkUrl) {
    let history = History::open(&url).await.unwrap();
    let windows = ServerRow {
        os: text("windows"),
        owner: text("ann@desk"),
        pool: text("lab2"),
        ..born(4, 30)
    };
    let entries = [
        server(born(1, 0)),
        server(born(2, 20)),
        server(born(3, 10)),
        server(windows),
        server(ServerRow::new(vm(5))),
        server(ended(2, 25, EndReason::Expired)),
    ];
    history.write(&entries).await.unwrap();
    let check = async |filter: Filter, limit: usize, expect: &[u32]| {
        let rows = history.rows(&filter, limit).await.unwrap();
        assert_eq!(
            vms(&rows),
            expect.iter().copied().map(vm).collect::<Vec<_>>(),
            "{filter:?}"
        );
    };
    let any = Filter::default;
    check(any(), usize::MAX, &[4, 2, 3, 1, 5]).await;
    check(any(), 2, &[4, 2]).await;
    check(any(), 0, &[]).await;
    check(
        Filter {
            pool: text("lab1"),
            ..any()
        },
        2,
        &[2, 3],
    )
    .await;
    check(
        Filter {
            pool: text("lab' OR 1=1 --"),
            ..any()
        },
        9,
        &[],
    )
    .await;
    check(
        Filter {
            os: text("windows"),
            ..any()
        },
        9,
        &[4],
    )
    .await;
    check(
        Filter {
            owner: text("ci/*"),
            ..any()
        },
        2,
        &[2, 3],
    )
    .await;
    check(
        Filter {
            name: text("web-[1-9]"),
            ..any()
        },
        9,
        &[],
    )
    .await;
    check(
        Filter {
            name: text("web-?"),
            living: true,
            ..any()
        },
        9,
        &[4, 3, 1],
    )
    .await;
    check(
        Filter {
            pool: text("lab1"),
            living: true,
            ..any()
        },
        9,
        &[3, 1],
    )
    .await;
    check(
        Filter {
            end_reason: Some(EndReason::Expired),
            ..any()
        },
        9,
        &[2],
    )
    .await;
    check(
        Filter {
            since: Some(at(26)),
            until: Some(at(30)),
            ..any()
        },
        9,
        &[3, 1, 5],
    )
    .await;
}

async fn finds_the_living_of_a_pool(url: SinkUrl) {
    let history = History::open(&url).await.unwrap();
    let elsewhere = ServerRow {
        pool: text("lab2"),
        ..born(3, 0)
    };
    let entries = [
        born(1, 0),
        born(2, 5),
        elsewhere,
        ended(1, 9, EndReason::Vanished),
        ServerRow::new(vm(4)),
    ];
    history.write(&entries.map(server)).await.unwrap();
    assert_eq!(history.open_rows("lab1").await.unwrap(), [born(2, 5)]);
    assert_eq!(vms(&history.open_rows("lab2").await.unwrap()), [vm(3)]);
    assert!(history.open_rows("lab3").await.unwrap().is_empty());
}

async fn sums_up_by_owner_and_os(url: SinkUrl) {
    let history = History::open(&url).await.unwrap();
    let slow = ServerRow {
        create_seconds: Some(90.0),
        ..born(2, 60)
    };
    let ann = ServerRow {
        owner: text("ann@desk"),
        create_seconds: None,
        ..born(3, 0)
    };
    let entries = [born(1, 0), slow, ann, ended(1, 120, EndReason::Destroyed)];
    history.write(&entries.map(server)).await.unwrap();
    let total = |key: &str, servers, server_hours, median_create_seconds| Total {
        key: text(key),
        servers,
        server_hours,
        median_create_seconds,
    };
    let by_owner = history
        .totals(&Filter::default(), GroupBy::Owner, at(180))
        .await
        .unwrap();
    let expect = [total("ann@desk", 1, 3.0, None), total("ci/nightly", 2, 4.0, Some(31.5))];
    assert_eq!(by_owner, expect);
    let window = Filter {
        pool: text("lab1"),
        since: Some(at(60)),
        until: Some(at(90)),
        ..Filter::default()
    };
    let by_os = history.totals(&window, GroupBy::Os, at(180)).await.unwrap();
    assert_eq!(by_os, [total("centos7", 3, 1.5, Some(31.5))]);
}

async fn many_write_at_once(url: SinkUrl) {
    const WRITERS: u32 = 6;
    const ROUNDS: u32 = 8;
    let shared = std::sync::Arc::new(History::new(&url));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        // Half of them share a history, as the creations of one provider do; the others are processes of their own.
        let history = if writer % 2 == 0 {
            std::sync::Arc::clone(&shared)
        } else {
            std::sync::Arc::new(History::new(&url))
        };
        writers.spawn(async move {
            for round in 0..ROUNDS {
                // All tell of the same VMs, in orders of their own, and each of an address of its own.
                let mut entries: Vec<Entry> = (0..4)
                    .map(|n| {
                        let address = std::net::IpAddr::from([
                            10,
                            0,
                            u8::try_from(writer).unwrap(),
                            u8::try_from(round).unwrap(),
                        ]);
                        server(ServerRow {
                            ip_addresses: [address].into(),
                            ..born((n + writer) % 4, 0)
                        })
                    })
                    .collect();
                entries.push(renewed(&renewal(writer, i64::from(round), 100, None)));
                history.write(&entries).await.unwrap();
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    let rows = all(&shared).await;
    let with_addresses = rows
        .iter()
        .filter(|row| row.ip_addresses.len() == (WRITERS * ROUNDS) as usize);
    assert_eq!(with_addresses.count(), 4);
    for writer in 0..WRITERS {
        assert_eq!(shared.renewals(vm(writer)).await.unwrap().len(), ROUNDS as usize);
    }
}
