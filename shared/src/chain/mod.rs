//! Solana: which accounts money may arrive on, what a transaction did to them, and whose money that is.
//!
//! The rules are pure ([`verify`], [`admit`], [`unsigned_payment`], [`Movement`], [`ChainTransaction`]); the only I/O
//! is asking nodes ([`Nodes`]), noting signatures for the watcher ([`note_signatures`]) and storing what wallets submit
//! ([`store_submission`], [`note_submission`]). Money moves elsewhere, in [`crate::settlement`].
//!
//! A node's answer is evidence, a notification only a hint. What counts is the net effect on a deposit account;
//! references say whose it is.

mod admit;
mod agreement;
mod balances;
mod build;
mod change;
mod deposit;
mod failure;
mod inbox;
mod liveness;
mod look;
mod movement;
mod nodes;
mod queries;
mod sending;
mod slot_clock;
mod submission;
mod transaction;
mod verify;

pub use admit::{Admitted, Rejection, admit, signature_of};
pub use agreement::{Alike, GONE_SLOTS, Judgement, Sight, Standing, Testimony, judge, reached_by};
pub use balances::Balance;
pub use build::{Due, Terms, unsigned_payment};
pub use deposit::{DepositAccount, DepositError, deposit_accounts, known_deposit_accounts};
pub use failure::RelayFailure;
pub use inbox::{Noted, note_signatures};
pub use look::{Look, Shown, Unreadable};
pub use movement::{Movement, TOKEN_PROGRAMS, movements};
pub use nodes::{Node, NodeError, Nodes};
pub use queries::{AccountState, Blockhash, Commitment, Listed};
pub use slot_clock::SlotClock;
pub use submission::{
    RelayOutcome, Stored, SubmissionError, SubmissionLimits, Submitted, is_submitted,
    note_submission, store_submission,
};
pub use transaction::{ChainTransaction, DecodeError, Instruction, TokenBalance};
pub use verify::{Credit, Open, OpenReason, TaggedInvoice, Verdict, verify};
