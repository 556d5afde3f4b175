//! Surfpool, run inside this process: offline, and with a clock of ours that makes slots.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use serde_json::json;
use solana_pubkey::Pubkey;
use surfpool_core::runloops::start_local_surfnet_runloop;
use surfpool_core::surfnet::locker::SurfnetSvmLocker;
use surfpool_core::surfnet::svm::{SurfnetSvm, SurfnetSvmConfig};
use surfpool_types::{
    BlockProductionMode, ClockCommand, RpcConfig, SimnetCommand, SimnetConfig, SimnetEvent,
    SurfpoolConfig, SvmFeatureConfig,
};
use tokio::sync::mpsc;

use crate::arguments::Arguments;
use crate::{metronome, tell};

const HOST: &str = "127.0.0.1";
/// The feature gate `enable_tx_v1`, without which transactions of version 1 are refused.
const TRANSACTIONS_V1: Pubkey =
    Pubkey::from_str_const("txv1aq4pp281K9um3tnPgkfX8UqtFT6wcVW3hNezGLL");

/// Why the chain could not be started, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalChainError {
    /// No port was free.
    #[error("no free loopback port was found: {0}")]
    NoPort(io::Error),
    /// A thread could not be started.
    #[error("cannot start a thread of the chain: {0}")]
    Thread(io::Error),
    /// The chain's own complaint.
    #[error("the chain cannot be set up: {0}")]
    Setup(String),
    /// The chain ended.
    #[error("the chain ended: {0}")]
    Ended(String),
}

/// What the chain's threads say to the one that waits.
enum News {
    Started,
    Ended(String),
}

/// A running chain.
pub(crate) struct LocalChain {
    rpc_url: String,
    ws_url: String,
    news: mpsc::UnboundedReceiver<News>,
    /// The chain ends when nobody can command it any more.
    commands: Sender<SimnetCommand>,
}

impl LocalChain {
    /// Starts the chain and waits until it answers.
    pub(crate) async fn start(arguments: &Arguments) -> Result<Self, LocalChainError> {
        let [rpc_port, ws_port] = ports(arguments).map_err(LocalChainError::NoPort)?;
        let config = config(arguments.slot_ms, rpc_port, ws_port);
        let setup = |error: &dyn std::fmt::Display| LocalChainError::Setup(error.to_string());
        let svm = SurfnetSvm::new(svm_config(&config)).map_err(|error| setup(&error))?;
        let (svm, events, geyser_events) = svm;
        let (commands, command_queue) = crossbeam_channel::unbounded();
        let (teller, news) = mpsc::unbounded_channel();
        start_thread("events", {
            let teller = teller.clone();
            move || drain(&events, &teller)
        })?;
        let runtime = tokio::runtime::Runtime::new().map_err(LocalChainError::Thread)?;
        let own_commands = commands.clone();
        let locker = SurfnetSvmLocker::new(svm);
        let svm = locker.clone();
        start_thread("chain", move || {
            let run = start_local_surfnet_runloop(
                svm,
                config,
                own_commands,
                command_queue,
                geyser_events,
            );
            let reason = match runtime.block_on(run) {
                Ok(()) => "it was told to".to_owned(),
                Err(error) => error.to_string(),
            };
            // Fails only when nobody waits any more.
            let _ = teller.send(News::Ended(reason));
        })?;
        let mut chain = Self {
            rpc_url: format!("http://{HOST}:{rpc_port}"),
            ws_url: format!("ws://{HOST}:{ws_port}"),
            news,
            commands,
        };
        match chain.news.recv().await {
            Some(News::Started) => {}
            Some(News::Ended(reason)) => return Err(LocalChainError::Ended(reason)),
            None => return Err(LocalChainError::Ended("its threads are gone".to_owned())),
        }
        // Its own clock would only wake it.
        let pause = SimnetCommand::CommandClock(None, ClockCommand::Pause);
        let gone = |_| LocalChainError::Ended("it takes no commands".to_owned());
        chain.commands.send(pause).map_err(gone)?;
        let (commands, slot_ms) = (chain.commands.clone(), arguments.slot_ms);
        start_thread("metronome", move || {
            metronome::beat(&locker, &commands, slot_ms);
        })?;
        Ok(chain)
    }

    /// Where JSON-RPC is.
    pub(crate) fn rpc_url(&self) -> &str {
        &self.rpc_url
    }

    /// Where subscriptions are.
    pub(crate) fn ws_url(&self) -> &str {
        &self.ws_url
    }

    /// Waits until the chain ends by itself.
    pub(crate) async fn ended(&mut self) -> LocalChainError {
        loop {
            match self.news.recv().await {
                Some(News::Started) => {}
                Some(News::Ended(reason)) => return LocalChainError::Ended(reason),
                None => return LocalChainError::Ended("its threads are gone".to_owned()),
            }
        }
    }
}

fn start_thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), LocalChainError> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(LocalChainError::Thread)
}

/// Reads the chain's events for ever: the queue is bounded, and the chain stops when it is full.
fn drain(events: &Receiver<SimnetEvent>, teller: &mpsc::UnboundedSender<News>) {
    for event in events {
        let told = match event {
            SimnetEvent::CoreStarted(_) => teller.send(News::Started),
            SimnetEvent::Aborted(reason) => teller.send(News::Ended(reason)),
            SimnetEvent::ErrorLog(_, message) => {
                tell(&json!({"level": "ERROR", "message": message}));
                Ok(())
            }
            _ => Ok(()),
        };
        // Nobody waits any more, but the queue must stay empty.
        drop(told);
    }
    let _ = teller.send(News::Ended("its events ended".to_owned()));
}

/// The ports asked for, or free ones.
fn ports(arguments: &Arguments) -> io::Result<[u16; 2]> {
    // Both are held until both are known, so that they differ.
    let claims = [arguments.rpc_port, arguments.ws_port]
        .map(|port| (port, TcpListener::bind((Ipv4Addr::LOCALHOST, port))));
    let mut ports = [arguments.rpc_port, arguments.ws_port];
    for (place, (port, claim)) in ports.iter_mut().zip(claims) {
        if port == 0 {
            *place = claim?.local_addr()?.port();
        }
    }
    Ok(ports)
}

fn config(slot_ms: u64, rpc_port: u16, ws_port: u16) -> SurfpoolConfig {
    SurfpoolConfig {
        simnets: vec![SimnetConfig {
            offline_mode: true,
            remote_rpc_url: None,
            slot_time: slot_ms,
            // Slots come when the metronome orders them.
            block_production_mode: BlockProductionMode::Manual,
            instruction_profiling_enabled: false,
            ..SimnetConfig::default()
        }],
        rpc: RpcConfig {
            bind_host: HOST.to_owned(),
            bind_port: rpc_port,
            ws_port,
            ..RpcConfig::default()
        },
        ..SurfpoolConfig::default()
    }
}

fn svm_config(config: &SurfpoolConfig) -> SurfnetSvmConfig {
    let simnet = config.simnets.first().cloned().unwrap_or_default();
    SurfnetSvmConfig {
        surfnet_id: simnet.surfnet_id,
        slot_time: simnet.slot_time,
        instruction_profiling_enabled: simnet.instruction_profiling_enabled,
        max_profiles: simnet.max_profiles,
        log_bytes_limit: simnet.log_bytes_limit,
        skip_blockhash_check: simnet.skip_blockhash_check,
        feature_config: SvmFeatureConfig::default().enable(TRANSACTIONS_V1),
    }
}
