//! Processes that end, hang, are frozen, or are not there.

use super::*;

const BUSY: &str = "QUITTANCE_TEST_KEEP_BUSY";

fn shell(script: &str) -> Process {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    Process::start("shell", command, None).expect("sh starts")
}

#[tokio::test]
async fn the_last_words_are_there_once_it_has_ended() {
    let process = shell("echo out; echo err >&2; exit 3");
    let status = process.wait(Duration::from_secs(5)).await.expect("it ends");
    assert_eq!(status.code(), Some(3));
    let mut lines = process.lines().all();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
}

#[tokio::test]
async fn a_paused_process_can_be_stopped() {
    let process = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    while process.lines().all().is_empty() {
        tokio::time::sleep(EXIT_POLL).await;
    }
    process.pause().await.expect("it runs");
    let status = process
        .stop(Signal::SIGTERM, Duration::from_secs(5))
        .await
        .expect("it ends");
    assert_eq!(status.code(), Some(7));
    assert!(matches!(
        process.signal(Signal::SIGTERM),
        Err(ProcessError::Ended { .. })
    ));
}

/// Not a test of its own: `a_paused_process_does_nothing_more` runs it in a process that it
/// then freezes.
#[test]
#[ignore = "keeps busy for another test"]
fn keep_busy() {
    if std::env::var_os(BUSY).is_none() {
        return;
    }
    for _ in 0..8 {
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    println!("all threads run");
    std::thread::sleep(Duration::from_mins(5));
}

/// For how long the threads of a process were on a processor.
fn ran_ns(pid: Pid) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it exists");
    threads
        .map(|thread| {
            let file = thread.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(file).expect("a thread's file");
            let ran_ns = text.split_whitespace().next().expect("the first field");
            ran_ns.parse::<u64>().expect("a number")
        })
        .sum()
}

#[tokio::test]
async fn a_paused_process_does_nothing_more() {
    let mut command = Command::new(std::env::current_exe().expect("ourselves"));
    command
        .args([
            "process::tests::keep_busy",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(BUSY, "1");
    let process = Process::start("busy", command, None).expect("it starts");
    let is_busy = |line: &str| line.ends_with("all threads run").then_some(());
    let busy = process.until_ready(Duration::from_mins(1), async || {
        process.lines().find(is_busy)
    });
    busy.await.expect("it says so");
    for _ in 0..10 {
        process.pause().await.expect("it runs");
        let before_ns = ran_ns(process.pid());
        tokio::time::sleep(EXIT_POLL * 5).await;
        assert_eq!(ran_ns(process.pid()), before_ns);
        process.resume().expect("it runs");
        // The next pause is to meet threads that run.
        while ran_ns(process.pid()) == before_ns {
            tokio::time::sleep(EXIT_POLL).await;
        }
    }
}

#[tokio::test]
async fn a_process_that_will_not_end_is_killed_and_told() {
    let process = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    while process.lines().all().is_empty() {
        tokio::time::sleep(EXIT_POLL).await;
    }
    let error = process
        .stop(Signal::SIGTERM, Duration::from_millis(200))
        .await;
    let message = error.expect_err("it ignores SIGTERM").to_string();
    assert!(
        message.contains("did not end within 0.2 s after SIGTERM"),
        "{message}"
    );
    assert!(message.contains("ready"), "{message}");
    assert!(process.exited().is_some());
}

#[tokio::test]
async fn a_program_that_is_missing_is_named() {
    let error = Process::start("ghost", Command::new("/nonexistent/ghost"), None);
    let message = error.err().expect("there is no such file").to_string();
    assert!(
        message.starts_with("cannot start ghost (/nonexistent/ghost): "),
        "{message}"
    );
}
