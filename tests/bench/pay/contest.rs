//! The contestants on one ground, each with fresh invoices.

use std::sync::Arc;
use std::time::Duration;

use stack::Deployment;

use super::calibration::commit_time;
use super::direct::direct;
use super::pgbench::pgbench;
use super::scene::{Crowd, SPREAD, Scene};
use crate::failure::BenchError;
use crate::ground::Ground;
use crate::load::{Requests, Run, open, pay_closed};
use crate::measure::whole;
use crate::meter::{Memory, Meter};
use crate::peers::{self, Peer};
use crate::screen::say;
use crate::stock::{Due, Payer, Stock};

/// Invoices made for each second of a run. Who is faster is done sooner; what is left over is not paid.
const ALONE_MAX: usize = 3_000;
const TOGETHER_MAX: usize = 12_000;
const ONE_COMMIT_EACH_MAX: usize = 5_000;
const WARM_UP: Duration = Duration::from_secs(1);
/// The rate that latency is told for, as a part of the highest.
const HALF: f64 = 0.5;

/// What was measured.
#[derive(Debug, Default)]
pub struct Results {
    /// Over HTTP, with costs.
    pub ours: Vec<(Scene, Run, Meter)>,
    /// pgbench at its best number of clients.
    pub pgbench: Vec<(Crowd, usize, Run)>,
    /// From Rust.
    pub direct: Vec<(Scene, Run)>,
    /// Over HTTP at half of the highest rate, and that rate.
    pub at_half_rate: Vec<(f64, Run)>,
    /// Others.
    pub peers: Vec<(Peer, usize, Run)>,
    /// Others that lost a job, and so take no part any more: they might do it later, among others' work.
    pub losers: Vec<Peer>,
    /// How long a small commit took before each round.
    pub commit_times: Vec<Duration>,
    /// What the processes held in memory after the rounds.
    pub memory: Option<Memory>,
}

/// Everybody who takes part.
pub struct Contest<'a> {
    ground: &'a Ground,
    deployment: &'a Deployment,
    stock: Stock,
    spread: Arc<Vec<Payer>>,
    hot: Arc<Vec<Payer>>,
    /// pgbench's best number of clients, by crowd.
    clients: Vec<(Crowd, usize)>,
}

impl<'a> Contest<'a> {
    /// Makes the payers.
    pub async fn prepare(
        ground: &'a Ground,
        deployment: &'a Deployment,
    ) -> Result<Self, BenchError> {
        let stock = Stock::new(deployment.pool().clone(), 1);
        Ok(Self {
            ground,
            deployment,
            spread: Arc::new(stock.payers(SPREAD).await?),
            hot: Arc::new(stock.payers(1).await?),
            stock,
            clients: Vec::new(),
        })
    }

    fn payers(&self, crowd: Crowd) -> &Arc<Vec<Payer>> {
        match crowd {
            Crowd::Spread => &self.spread,
            Crowd::Hot => &self.hot,
        }
    }

    async fn dues(
        &self,
        crowd: Crowd,
        per_second: usize,
        time: Duration,
    ) -> Result<Vec<Due>, BenchError> {
        let count = per_second * whole(time.as_secs_f64()).max(1);
        let dues = self.stock.invoices(self.payers(crowd), count).await?;
        self.stock.settle_down().await?;
        Ok(dues)
    }

    /// Pays a little, and looks how quiet the machine is.
    pub async fn begin_round(&self, results: &mut Results) -> Result<(), BenchError> {
        let url = self.ground.postgres.url_superuser("postgres");
        results.commit_times.push(commit_time(&url).await?);
        let scene = Scene {
            callers: 32,
            crowd: Crowd::Spread,
        };
        self.pay(scene, Duration::from_secs(1)).await?;
        Ok(())
    }

    async fn pay(&self, scene: Scene, time: Duration) -> Result<(Run, Meter), BenchError> {
        let most = if scene.callers == 1 {
            ALONE_MAX
        } else {
            TOGETHER_MAX
        };
        let dues = self.dues(scene.crowd, most, time).await?;
        let requests = Requests::prepare(self.deployment.api(0), self.payers(scene.crowd), &dues)?;
        let before = Meter::read(self.ground, self.deployment).await?;
        let run = pay_closed(requests, scene.callers, time).await?;
        let used = before
            .until_now(self.ground, self.deployment, run.paid)
            .await?;
        Ok((run, used))
    }

    /// Pays over HTTP.
    pub async fn ours(
        &self,
        scene: Scene,
        time: Duration,
        results: &mut Results,
    ) -> Result<(), BenchError> {
        let (run, used) = self.pay(scene, time).await?;
        say(&format!("{scene}: {:.0} paid per second", run.rate()));
        results.ours.push((scene, run, used));
        Ok(())
    }

    /// Pays over HTTP at half of the highest rate so far, each call at its time.
    pub async fn at_half_rate(
        &self,
        time: Duration,
        results: &mut Results,
    ) -> Result<(), BenchError> {
        let spread = results
            .ours
            .iter()
            .filter(|(scene, ..)| scene.crowd == Crowd::Spread);
        let highest = spread.map(|(_, run, _)| run.rate()).fold(0.0, f64::max);
        let rate = highest * HALF;
        let api = self.deployment.api(0);
        let dues = self
            .dues(Crowd::Spread, whole(rate), WARM_UP + time)
            .await?;
        let requests = Requests::prepare(api, &self.spread, &dues)?;
        let warm_up = whole(rate * WARM_UP.as_secs_f64());
        let run = open(requests, rate, warm_up).await?;
        results.at_half_rate.push((rate, run));
        Ok(())
    }

    /// The debit from Rust.
    pub async fn direct(
        &self,
        scene: Scene,
        time: Duration,
        results: &mut Results,
    ) -> Result<(), BenchError> {
        let dues = self.dues(scene.crowd, ONE_COMMIT_EACH_MAX, time).await?;
        let url = self.deployment.settings().owner_url.clone();
        let run = direct(&url, self.payers(scene.crowd), dues, scene.callers, time).await?;
        say(&format!(
            "{scene}, from Rust: {:.0} paid per second",
            run.rate()
        ));
        results.direct.push((scene, run));
        Ok(())
    }

    /// Finds pgbench's best number of clients.
    pub async fn find_clients(
        &mut self,
        crowd: Crowd,
        among: &[usize],
        time: Duration,
    ) -> Result<(), BenchError> {
        let mut best = (0.0, 1);
        for &clients in among {
            let run = self.pgbench_with(crowd, clients, time).await?;
            if run.rate() > best.0 {
                best = (run.rate(), clients);
            }
        }
        let (rate, clients) = best;
        say(&format!(
            "pgbench is best with {clients} clients, {}: {rate:.0} per second",
            crowd.name()
        ));
        self.clients.push((crowd, clients));
        Ok(())
    }

    /// pgbench at its best.
    pub async fn pgbench(
        &self,
        crowd: Crowd,
        time: Duration,
        results: &mut Results,
    ) -> Result<(), BenchError> {
        let found = self.clients.iter().find(|(of, _)| *of == crowd);
        let clients = found.map_or(1, |(_, clients)| *clients);
        let run = self.pgbench_with(crowd, clients, time).await?;
        results.pgbench.push((crowd, clients, run));
        Ok(())
    }

    async fn pgbench_with(
        &self,
        crowd: Crowd,
        clients: usize,
        time: Duration,
    ) -> Result<Run, BenchError> {
        let dues = self.dues(crowd, ONE_COMMIT_EACH_MAX, time).await?;
        let database = self.deployment.database();
        let payers = self.payers(crowd);
        let before = Meter::read(self.ground, self.deployment).await?;
        let run = pgbench(
            &self.ground.postgres,
            database,
            payers,
            &dues,
            clients,
            time,
        )
        .await?;
        before
            .until_now(self.ground, self.deployment, run.paid)
            .await?;
        Ok(run)
    }

    /// Looks at the processes' memory.
    pub fn weigh(&self, results: &mut Results) -> Result<(), BenchError> {
        results.memory = Some(Memory::read(self.ground, self.deployment)?);
        Ok(())
    }

    /// A queue of somebody else's.
    pub async fn peer(
        &self,
        peer: Peer,
        callers: usize,
        time: Duration,
        results: &mut Results,
    ) -> Result<(), BenchError> {
        if results.losers.contains(&peer) {
            return Ok(());
        }
        let dues = self.dues(Crowd::Spread, ONE_COMMIT_EACH_MAX, time).await?;
        let database = self.deployment.database();
        let measured = peers::measure(
            peer,
            self.ground,
            database,
            &self.spread,
            &dues,
            callers,
            time,
        )
        .await;
        let run = match measured {
            Err(lost @ BenchError::Lost { .. }) => {
                say(&format!("{lost}, with {callers} callers"));
                results.losers.push(peer);
                return Ok(());
            }
            other => other?,
        };
        say(&format!(
            "{}, {callers} callers: {:.0} paid per second",
            peer.name(),
            run.rate()
        ));
        results.peers.push((peer, callers, run));
        Ok(())
    }
}
