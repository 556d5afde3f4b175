//! What a local chain does not do, on scripted nodes: forks, lies, lag, silence, floods, throttling. The names carry the
//! numbers of the adversarial cases they stand for.
#![expect(
    clippy::unwrap_used,
    reason = "a test suite: a failed step fails its test"
)]

mod absence;
mod books;
mod building;
mod crashes;
mod finality;
mod floods;
mod forks;
mod groups;
mod hanging;
mod lag;
mod notifications;
mod outages;
mod reading;
mod relay;
mod relay_agreement;
mod relay_ends;
mod scene;
mod sockets;
mod throttling;
mod waiting;
mod witnesses;
