//! Whether the machine is quiet enough to measure on: where each flush waits for somebody else's turn to end, everything
//! looks equally slow.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use crate::failure::BenchError;
use crate::measure::percentile;

const INSERTS: usize = 300;

/// How long a commit of one small row takes, with one client: the median.
pub async fn commit_time(database_url: &str) -> Result<Duration, BenchError> {
    let mut connection = PgConnection::connect(database_url).await?;
    sqlx::query("create table if not exists bench_calibration (at timestamptz)")
        .execute(&mut connection)
        .await?;
    let mut times = Vec::with_capacity(INSERTS);
    for _ in 0..INSERTS {
        let begin = Instant::now();
        sqlx::query("insert into bench_calibration values (now())")
            .execute(&mut connection)
            .await?;
        times.push(begin.elapsed());
    }
    connection.close().await?;
    Ok(percentile(&times, 50))
}
