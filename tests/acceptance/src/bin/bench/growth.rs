//! Row 20: how the cost of a server changes with their number.

use anyhow::Result;

use crate::itself::Parallelism;
use crate::place::Place;
use crate::sample::median;
use crate::sweep;
use crate::table::{Bar, Measure, Row, Unit};
use crate::watch::{Watched, watch};

const SIZES: [u32; 4] = [100, 300, 1_000, 3_000];
const AT_ONCE: Parallelism = Parallelism(100);
/// CPU time depends on it little: the slower the pools, the more often the long-poll answers.
const SCALE: f64 = 20.0;
/// The reaper's.
const SWEEP_SCALE: f64 = 1.0;
const ROUNDS: usize = 3;
/// Of what changes nothing.
const LOOKS: usize = 3;
/// How often the fewest servers are made, on the way there and on the way back: a run of them is over so soon that one alone says little.
const FEWEST: usize = 2;

/// What the commands cost at one size, in seconds of dynvm's CPU time.
struct Costs {
    create: f64,
    refresh: f64,
    destroy: f64,
    sweep: f64,
}

/// What the commands cost, by size.
struct Round(Vec<(u32, Costs)>);

impl Round {
    fn of(place: &Place) -> Result<Self> {
        let runs = there_and_back().map(|servers| Ok((servers, costs(place, servers)?)));
        runs.collect::<Result<_>>().map(Self)
    }

    fn cost(&self, servers: u32, of: fn(&Costs) -> f64) -> f64 {
        let of_size = self.0.iter().filter(|(size, _)| *size == servers);
        median(of_size.map(|(_, costs)| of(costs)).collect::<Vec<f64>>())
    }

    /// What one server costs of the most over what one costs of the fewest.
    fn growth(&self, of: fn(&Costs) -> f64) -> f64 {
        let [fewest, .., most] = SIZES;
        let each = |servers| self.cost(servers, of) / f64::from(servers);
        each(most) / each(fewest)
    }
}

/// Measures all sizes.
pub(crate) fn rows(place: &Place) -> Result<Vec<Row>> {
    let rounds = (0..ROUNDS).map(|_| Round::of(place)).collect::<Result<Vec<Round>>>()?;
    let row = |name: &str, scale: f64, of: fn(&Costs) -> f64| {
        let cost = |servers| median(rounds.iter().map(|round| round.cost(servers, of)).collect::<Vec<f64>>());
        let what = format!("{name}: CPU time per server of 3,000 over that of 100");
        Row::new(
            20,
            &what,
            Measure::of(Unit::Ratio, rounds.iter().map(|round| round.growth(of))),
        )
        .bar(Bar::AtMost(1.0))
        .scale(scale)
        .curve(name, SIZES.map(|servers| (f64::from(servers), cost(servers))).to_vec())
    };
    Ok(vec![
        row("create", SCALE, |costs| costs.create).note(
            "Of all processes of the provider in one `terraform apply`, `plan -refresh-only` or `destroy` with `-parallelism=100`, over the pools \
             of row 16; more than 1 is worse than linear. In each round all sizes are measured there and back, so that a machine that slows down counts for \
             all alike.",
        ),
        row("refresh", SCALE, |costs| costs.refresh),
        row("destroy", SCALE, |costs| costs.destroy),
        row("reaper's first look", SWEEP_SCALE, |costs| costs.sweep)
            .note("`dynvm-reaper run --once` up to the first claim, as in row 11, in one pool in which there is nothing but servers, 60 of them expired."),
    ])
}

/// The sizes in the order in which they are measured: the same work takes a machine more or less time as the minutes pass, and so that counts for all
/// alike.
fn there_and_back() -> impl Iterator<Item = u32> {
    let there = SIZES.into_iter().chain(SIZES.into_iter().rev().skip(1));
    there.flat_map(|servers| std::iter::repeat_n(servers, if servers == SIZES[0] { FEWEST } else { 1 }))
}

fn costs(place: &Place, servers: u32) -> Result<Costs> {
    let lab = place.wide_lab(SCALE);
    let workspace = place.servers_of_a_team(&lab, servers);
    let cost = |used: &Watched| used.provider.cpu.as_secs_f64();
    let create = cost(&watch(&workspace, &AT_ONCE.apply())?);
    let refreshes = (0..LOOKS).map(|_| Ok(cost(&watch(&workspace, &AT_ONCE.refresh())?)));
    let refresh = median(refreshes.collect::<Result<Vec<f64>>>()?);
    let destroy = cost(&watch(&workspace, &AT_ONCE.destroy())?);
    let sweep = median(sweep::costs(place, servers, LOOKS)?);
    eprintln!(
        "{servers} servers: create {create:.2} s, refresh {refresh:.2} s, destroy {destroy:.2} s, the reaper's first look {sweep:.2} s"
    );
    Ok(Costs {
        create,
        refresh,
        destroy,
        sweep,
    })
}
