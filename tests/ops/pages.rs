//! Operators' lists, page by page: nothing is shown twice, nothing is left out, however much there is.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use stack::Deployment;

use crate::chain_books::{USDC, register};
use crate::support::{assert_refused, execute, finish, get, start};

/// Reads a list to its end, and does something between its pages.
pub async fn read_all(
    deployment: &Deployment,
    list: &str,
    query: &str,
    between: impl AsyncFn(usize),
) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut next = String::new();
    for page in 0.. {
        let answer = get(deployment, &format!("/ops/v1/{list}?{query}{next}")).await;
        assert_eq!(answer.status, 200, "{list}?{query}{next}: {}", answer.text);
        rows.extend(answer.body[list].as_array().expect("a list").clone());
        let Some(cursor) = answer.body["next_cursor"].as_str() else {
            assert_eq!(answer.body["next_cursor"], Value::Null);
            break;
        };
        next = format!("&before={cursor}");
        between(page).await;
    }
    rows
}

pub fn ids(rows: &[Value]) -> Vec<i64> {
    rows.iter().filter_map(|row| row["id"].as_i64()).collect()
}

async fn nothing(_: usize) {}

async fn quiet() -> Deployment {
    let deployment = start(Deployment::builder().workers(0)).await;
    register(&deployment).await;
    deployment
}

#[tokio::test]
async fn a_real_deposit_is_found_among_dust() {
    let deployment = quiet().await;
    execute(
        deployment.pool(),
        "insert into unattributed_deposits (signature, account, units, reason, worth_micro)
         select 'dust ' || n, (select account from deposit_accounts where rail = 'sol-spl-usdc'),
                case n when 3 then 49000000 else n end, 'untagged', case n when 3 then 49000000 else n end
         from generate_series(1, 216) as n",
    )
    .await;
    let by_worth = get(&deployment, "/ops/v1/unattributed?order=worth").await;
    assert_eq!(by_worth.body["unattributed"][0]["units"], 49_000_000);
    assert_eq!(by_worth.body["unattributed"][0]["signature"], "dust 3");
    for order in ["newest", "oldest", "worth"] {
        let query = format!("limit=50&order={order}");
        let all = read_all(&deployment, "unattributed", &query, nothing).await;
        assert_eq!(all.len(), 216, "{order}");
        let found: Vec<&Value> = all
            .iter()
            .filter(|row| row["units"] == 49_000_000)
            .collect();
        assert_eq!(found.len(), 1, "{order}");
        let distinct: BTreeSet<i64> = ids(&all).into_iter().collect();
        assert_eq!(distinct.len(), 216, "{order}");
    }
    finish(deployment).await;
}

/// In each order rows come and go between the pages: those that stay are shown once, in order.
#[tokio::test]
async fn what_stays_is_shown_once_whatever_comes_and_goes() {
    let deployment = quiet().await;
    let pool = deployment.pool();
    for order in ["newest", "oldest", "worth"] {
        execute(
            pool,
            "delete from unattributed_deposits;
             insert into unattributed_deposits (signature, account, units, reason, worth_micro)
             select 'old ' || n, (select min(account) from deposit_accounts), n, 'untagged',
                    case when n % 5 > 0 then n % 7 end from generate_series(1, 60) as n",
        )
        .await;
        let staying: Vec<i64> = sqlx::query_scalar(match order {
            "oldest" => "select id from unattributed_deposits where units % 4 > 0 order by id",
            "newest" => "select id from unattributed_deposits where units % 4 > 0 order by id desc",
            _ => {
                "select id from unattributed_deposits where units % 4 > 0
                 order by worth_micro desc nulls first, id desc"
            }
        })
        .fetch_all(pool)
        .await
        .expect("the rows");
        let query = format!("limit=7&order={order}");
        let all = read_all(&deployment, "unattributed", &query, async |page| {
            // Shown or not, these are resolved while somebody reads, and others are found.
            let page = i64::try_from(page).expect("few pages");
            sqlx::query(
                "update unattributed_deposits set resolved_at = now(), resolution = 'dismissed'
                 where units % 4 = 0 and units % 9 = $1",
            )
            .bind(page)
            .execute(pool)
            .await
            .expect("resolved");
            execute(
                pool,
                "insert into unattributed_deposits (signature, reason, units, worth_micro)
                 select 'new ' || gen_random_uuid(), 'untagged', 4000, 3 where random() < 0.9",
            )
            .await;
        })
        .await;
        let shown = ids(&all);
        let distinct: BTreeSet<i64> = shown.iter().copied().collect();
        assert_eq!(distinct.len(), shown.len(), "{order}: {shown:?}");
        let kept: Vec<i64> = shown
            .into_iter()
            .filter(|id| staying.contains(id))
            .collect();
        assert_eq!(kept, staying, "{order}");
    }
    finish(deployment).await;
}

#[tokio::test]
async fn units_are_exact_and_everything_about_a_deposit_is_shown() {
    let deployment = quiet().await;
    execute(
        deployment.pool(),
        "insert into users (id) values ('00000000-0000-0000-0000-000000000007');
         insert into unattributed_deposits
             (signature, account, units, reason, worth_micro, detail, user_id, resolved_at, resolution, note)
         select 's', (select min(account) from deposit_accounts where rail = 'sol-spl-usdc'),
                18446744073709551615, 'disputed', 9, '{\"node 1\": \"final\"}',
                '00000000-0000-0000-0000-000000000007', '2026-01-02T03:04:05Z', 'credited', 'a note'",
    )
    .await;
    assert_eq!(
        get(&deployment, "/ops/v1/unattributed").await.body["unattributed"],
        json!([])
    );
    let answer = get(&deployment, "/ops/v1/unattributed?state=resolved").await;
    let row = &answer.body["unattributed"][0];
    assert_eq!(row["units"], json!(u64::MAX), "{}", answer.text);
    let rest = json!({
        "detail": row["detail"], "user_id": row["user_id"], "resolved_at": row["resolved_at"],
        "resolution": row["resolution"], "note": row["note"], "worth_micro": row["worth_micro"],
    });
    let expected = json!({
        "detail": {"node 1": "final"}, "user_id": "00000000-0000-0000-0000-000000000007",
        "resolved_at": "2026-01-02T03:04:05Z", "resolution": "credited", "note": "a note", "worth_micro": 9,
    });
    assert_eq!(rest, expected);
    execute(
        deployment.pool(),
        "delete from unattributed_deposits; delete from users",
    )
    .await;
    finish(deployment).await;
}

#[tokio::test]
async fn filters_narrow_a_list() {
    let deployment = quiet().await;
    execute(
        deployment.pool(),
        "insert into unattributed_deposits (signature, account, reason, invoice_id, resolved_at, resolution)
         select 'sig ' || n, case n % 3 when 0 then (select account from deposit_accounts where rail = 'sol-spl-usdc')
                                        when 1 then (select account from deposit_accounts where rail = 'sol-spl-usdt') end,
                case n % 2 when 0 then 'untagged' else 'ambiguous' end,
                case when n > 4 then 'inv_000000000000000' || n end,
                case when n > 6 then now() end, case when n > 6 then 'dismissed' end
         from generate_series(1, 8) as n;
         insert into parked_jobs (queue, entry_id, payload, reason, deliveries, resolved_at, resolution)
         select case n % 2 when 0 then 'pay' else 'relay' end, '1-' || n, 'p', 'r', 1,
                case when n > 4 then now() end, case when n > 4 then 'discarded' end
         from generate_series(1, 6) as n;
         insert into operator_actions (action, target, detail, outcome, trace_id, at)
         select case n % 2 when 0 then 'even' else 'odd' end, 'target ' || n % 3, '{}', 'done', 't',
                '2026-01-01T00:00:00Z'::timestamptz + make_interval(hours => n)
         from generate_series(1, 6) as n;
         insert into deposit_dust select account, 3, 18446744073709551616, '2026-01-01T00:00:00Z'
         from deposit_accounts where rail <> 'sol-native'",
    )
    .await;
    let account = USDC.replace('\'', "%27").replace(' ', "%20");
    let cases: [(&str, String, &[i64]); 26] = [
        ("unattributed", String::new(), &[6, 5, 4, 3, 2, 1]),
        ("unattributed", "state=open".into(), &[6, 5, 4, 3, 2, 1]),
        ("unattributed", "state=resolved".into(), &[8, 7]),
        (
            "unattributed",
            "state=all&order=oldest".into(),
            &[1, 2, 3, 4, 5, 6, 7, 8],
        ),
        ("unattributed", "reason=untagged".into(), &[6, 4, 2]),
        ("unattributed", "reason=unheard-of".into(), &[]),
        ("unattributed", "rail=sol-spl-usdt".into(), &[4, 1]),
        ("unattributed", format!("account={account}"), &[6, 3]),
        (
            "unattributed",
            "invoice_id=inv_0000000000000005".into(),
            &[5],
        ),
        ("unattributed", "signature=sig%202".into(), &[2]),
        (
            "unattributed",
            "rail=sol-spl-usdc&reason=untagged&state=all".into(),
            &[6],
        ),
        ("parked", String::new(), &[4, 3, 2, 1]),
        ("parked", "order=oldest".into(), &[1, 2, 3, 4]),
        ("parked", "queue=pay".into(), &[4, 2]),
        ("parked", "queue=relay&state=all".into(), &[5, 3, 1]),
        ("parked", "state=resolved&order=oldest".into(), &[5, 6]),
        ("actions", String::new(), &[6, 5, 4, 3, 2, 1]),
        ("actions", "action=even".into(), &[6, 4, 2]),
        ("actions", "target=target%201".into(), &[4, 1]),
        ("actions", "action=odd&target=target%201".into(), &[1]),
        ("actions", "since=2026-01-01T04:00:00Z".into(), &[6, 5, 4]),
        ("actions", "until=2026-01-01T04:00:00Z".into(), &[3, 2, 1]),
        (
            "actions",
            "since=2026-01-01T03:00:00%2B01:00&until=2026-01-01T03:00:01Z".into(),
            &[3, 2],
        ),
        ("actions", "action=nothing".into(), &[]),
        (
            "unattributed",
            "state=all&order=worth".into(),
            &[8, 7, 6, 5, 4, 3, 2, 1],
        ),
        ("unattributed", "unheard=of".into(), &[6, 5, 4, 3, 2, 1]),
    ];
    for (list, query, expected) in cases {
        for limit in ["", "limit=1&", "limit=2&"] {
            let query = format!("{limit}{query}");
            let rows = read_all(&deployment, list, &query, nothing).await;
            assert_eq!(ids(&rows), expected, "{list}?{query}");
        }
    }
    let dust = read_all(&deployment, "dust", "limit=1", nothing).await;
    assert_eq!(dust.len(), 2);
    let answer = get(&deployment, "/ops/v1/dust").await;
    let first = format!(
        r#"{{"account":"{USDC}","rail":"sol-spl-usdc","deposits":3,"units":18446744073709551616,"last_at":"2026-01-01T00:00:00Z"}}"#
    );
    assert!(answer.text.contains(&first), "{}", answer.text);
    // The dust of this test is no money that came.
    execute(deployment.pool(), "delete from deposit_dust").await;
    finish(deployment).await;
}

#[tokio::test]
async fn a_bad_value_is_refused_by_its_name() {
    let deployment = quiet().await;
    execute(
        deployment.pool(),
        "insert into unattributed_deposits (signature, reason) values ('a', 'r'), ('b', 'r');
         insert into operator_actions (action, target, detail, outcome, trace_id)
         select 'a', 'b', '{}', 'done', 't' from generate_series(1, 2)",
    )
    .await;
    let cursor = async |path: &str| {
        let body = get(&deployment, &format!("/ops/v1/{path}")).await.body;
        body["next_cursor"].as_str().expect("a cursor").to_owned()
    };
    let newest = cursor("unattributed?limit=1").await;
    let action = cursor("actions?limit=1").await;
    for (list, query, name) in [
        ("unattributed", "limit=0", "limit"),
        ("unattributed", "limit=x", "limit"),
        ("unattributed", "limit=1&limit=2", "limit"),
        ("unattributed", "before=", "before"),
        ("unattributed", "before=12", "before"),
        ("unattributed", "before=%00", "before"),
        ("unattributed", &format!("before={action}"), "before"),
        (
            "unattributed",
            &format!("order=worth&before={newest}"),
            "before",
        ),
        ("unattributed", &format!("before={newest}x"), "before"),
        ("unattributed", "state=closed", "state"),
        ("unattributed", "order=best", "order"),
        ("unattributed", "rail=sol", "rail"),
        ("unattributed", "invoice_id=7", "invoice_id"),
        ("unattributed", "reason=", "reason"),
        ("unattributed", "reason=%00", "reason"),
        ("unattributed", "account=", "account"),
        ("unattributed", "signature=", "signature"),
        ("parked", "limit=-1", "limit"),
        ("parked", &format!("before={newest}"), "before"),
        ("parked", "state=none", "state"),
        ("parked", "queue=none", "queue"),
        ("parked", "order=worth", "order"),
        ("actions", "limit=1.5", "limit"),
        ("actions", "before=x", "before"),
        ("actions", "action=", "action"),
        ("actions", "target=%00", "target"),
        ("actions", "since=yesterday", "since"),
        ("actions", "until=2026-01-01", "until"),
        ("dust", "limit=", "limit"),
        ("dust", "before=x", "before"),
    ] {
        let answer = get(&deployment, &format!("/ops/v1/{list}?{query}")).await;
        let what = format!("{list}?{query}");
        assert_refused(&answer, 400, &format!("bad {name}"), &what);
    }
    finish(deployment).await;
}

/// Rows that a page reads, of all tables.
async fn rows_read(pool: &PgPool, page: &'static str) -> i64 {
    let mut transaction = pool.begin().await.expect("a transaction");
    let before = read_so_far(&mut transaction).await;
    sqlx::raw_sql(page)
        .execute(&mut *transaction)
        .await
        .expect(page);
    read_so_far(&mut transaction).await - before
}

/// What this connection has read, and has not yet reported.
async fn read_so_far(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint from pg_stat_xact_user_tables",
    )
    .fetch_one(connection)
    .await
    .expect("a count")
}

#[tokio::test]
async fn a_page_reads_no_more_for_a_long_history() {
    let deployment = quiet().await;
    let pool = deployment.pool();
    execute(
        pool,
        "insert into unattributed_deposits (signature, account, units, reason, worth_micro, resolved_at, resolution)
         select 'old ' || n, (select min(account) from deposit_accounts), n, 'untagged', n % 1000, now(), 'dismissed'
         from generate_series(1, 100000) as n;
         insert into unattributed_deposits (signature, account, units, reason, worth_micro)
         select 'open ' || n, (select min(account) from deposit_accounts), n,
                case when n % 100 = 0 then 'rare' else 'untagged' end, n % 50
         from generate_series(1, 1000) as n;
         insert into parked_jobs (queue, entry_id, payload, reason, deliveries, resolved_at, resolution)
         select 'pay', n::text, 'p', 'r', 1, case when n <= 100000 then now() end,
                case when n <= 100000 then 'discarded' end
         from generate_series(1, 100300) as n;
         insert into operator_actions (action, target, detail, outcome, trace_id, at)
         select 'a', case when n % 10000 = 0 then 'rare' else 'often' end, '{}', 'done', 't',
                now() - make_interval(secs => n)
         from generate_series(1, 100000) as n;
         analyze unattributed_deposits, parked_jobs, operator_actions",
    )
    .await;
    for page in [
        "select from unattributed_page('open', 'newest', null, null, null, null, null, null, null, 201)",
        "select from unattributed_page('open', 'oldest', null, null, null, null, null, null, 100500, 201)",
        "select from unattributed_page('open', 'worth', null, null, null, null, null, null, null, 201)",
        "select from unattributed_page('open', 'worth', null, null, null, null, null, 25, 100500, 201)",
        "select from unattributed_page('open', 'newest', 'rare', null, null, null, null, null, null, 201)",
        "select from unattributed_page('all', 'newest', null, null, null, null, null, null, 50000, 201)",
        "select from unattributed_page('all', 'oldest', null, null, null, null, null, null, 50000, 201)",
        "select from unattributed_page('all', 'worth', null, null, null, null, null, 500, 50000, 201)",
        "select from unattributed_page('all', 'newest', 'rare', null, null, null, null, null, null, 201)",
        "select from unattributed_page('all', 'newest', null, null, null, null, 'old 7', null, null, 201)",
        "select from unattributed_page('resolved', 'newest', null, null, null, null, null, null, 50000, 201)",
        "select from unattributed_page('resolved', 'oldest', null, null, null, null, null, null, null, 201)",
        "select from parked_page('open', 'newest', null, null, 201)",
        "select from parked_page('open', 'oldest', 'pay', null, 201)",
        "select from parked_page('all', 'newest', null, 50000, 201)",
        "select from parked_page('all', 'oldest', 'pay', 50000, 201)",
        "select from parked_page('resolved', 'oldest', null, 50000, 201)",
        "select from actions_page(null, null, null, null, null, null, 201)",
        "select from actions_page(null, null, null, now() - interval '5 hours', null, null, 201)",
        "select from actions_page('a', null, now() - interval '9 hours', null, now() - interval '5 hours', 5, 201)",
        "select from actions_page(null, 'rare', null, null, null, null, 201)",
    ] {
        let read = rows_read(pool, page).await;
        assert!((1..=1500).contains(&read), "{read} rows for {page}");
    }
    finish(deployment).await;
}
