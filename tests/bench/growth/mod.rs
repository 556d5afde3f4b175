//! What many rows and more workers change: the same payments in a small database, in one that has seen years of
//! business, and with 1, 2 and 4 workers.

mod past;

use std::time::Duration;

use stack::Deployment;

use self::past::add_past;
use crate::failure::BenchError;
use crate::ground::{Ground, SEGMENTS};
use crate::load::{Requests, Run, pay_closed};
use crate::measure::{grouped, median};
use crate::plan::Pace;
use crate::screen::say;
use crate::stock::{Payer, Stock};
use crate::target::{self, Bound, Target};

/// The past need not be logged; payments are, as ever.
const LITTLE_LOG: [&str; 2] = ["wal_level=minimal", "max_wal_senders=0"];
const CALLERS: usize = 256;
const USERS: usize = 1_000;
/// Invoices made for each second of a run. Who is faster is done sooner.
const PAID_MAX: usize = 12_000;
const FEW: u64 = 10_000;
const MANY: u64 = 10_000_000;
/// For a look, when there is no time to make the others.
const SOME: u64 = 100_000;

/// A deployment that takes part.
struct Entrant {
    name: String,
    deployment: Deployment,
    stock: Stock,
    payers: Vec<Payer>,
    runs: Vec<Run>,
}

impl Entrant {
    async fn start(
        ground: &Ground,
        name: String,
        past: u64,
        workers: usize,
    ) -> Result<Self, BenchError> {
        let deployment = ground.deployment().workers(workers).start().await?;
        let stock = Stock::new(deployment.pool().clone(), 1);
        add_past(&deployment.settings().owner_url, past).await?;
        Ok(Self {
            name,
            payers: stock.payers(USERS).await?,
            stock,
            deployment,
            runs: Vec::new(),
        })
    }

    async fn pay(&mut self, time: Duration) -> Result<(), BenchError> {
        let seconds = usize::try_from(time.as_secs()).unwrap_or(1);
        let dues = self
            .stock
            .invoices(&self.payers, PAID_MAX * seconds)
            .await?;
        self.stock.settle_down().await?;
        let requests = Requests::prepare(self.deployment.api(0), &self.payers, &dues)?;
        let run = pay_closed(requests, CALLERS, time).await?;
        say(&format!("{}: {:.0} paid per second", self.name, run.rate()));
        self.runs.push(run);
        Ok(())
    }

    fn rate(&self) -> f64 {
        median(self.runs.iter().map(Run::rate))
    }
}

/// Measures all of them in turns; returns the table.
pub async fn run(pace: Pace) -> Result<String, BenchError> {
    let ground = Ground::start_with(SEGMENTS, &LITTLE_LOG).await?;
    let many = if pace == Pace::Alone { MANY } else { SOME };
    say(&format!(
        "making {many} paid invoices with their transfers ..."
    ));
    let past = |rows: u64| {
        format!(
            "1 worker, {} rows each of invoices and transfers",
            grouped(rows)
        )
    };
    let mut entrants = vec![
        Entrant::start(&ground, past(FEW), FEW, 1).await?,
        Entrant::start(&ground, past(many), many, 1).await?,
    ];
    for workers in pace.choose(&[][..], &[2, 4][..]) {
        let name = format!("{workers} workers");
        entrants.push(Entrant::start(&ground, name, FEW, *workers).await?);
    }
    let time = Duration::from_secs(pace.choose(1, 2));
    // The first round is warm-up, unless there is no time for it.
    for round in pace.choose(1, 0)..=pace.choose(1, 3) {
        for entrant in &mut entrants {
            entrant.pay(time).await?;
            if round == 0 {
                entrant.runs.clear();
            }
        }
    }
    let table = table(&entrants, many == MANY);
    for entrant in entrants {
        // An audit reads every row, which takes minutes for millions.
        let is_small = !entrant.name.contains(&grouped(many));
        if is_small {
            entrant.deployment.finish().await?;
        }
    }
    Ok(table)
}

fn table(entrants: &[Entrant], is_whole: bool) -> String {
    let first = entrants.first().map_or(f64::NAN, Entrant::rate);
    let mut lines = vec![
        "| 256 callers, 1,000 users | paid per second | ratio |".to_owned(),
        "|---|---:|---:|".to_owned(),
    ];
    lines.extend(entrants.iter().map(|entrant| {
        let rate = entrant.rate();
        format!("| {} | {rate:.0} | {:.2} |", entrant.name, rate / first)
    }));
    lines.push(String::new());
    if is_whole {
        let big = entrants.get(1).map_or(f64::NAN, Entrant::rate);
        lines.push(target::table(&[Target {
            measure: "rate with 10 million rows ÷ with 10 thousand",
            reached: big / first,
            bound: Bound::AtLeast,
            must: 0.8,
            aim: 0.95,
        }]));
    } else {
        lines.push(
            "Ten million rows are made when this part is asked for alone (PART=growth).".to_owned(),
        );
    }
    lines.join("\n")
}
