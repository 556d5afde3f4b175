//! What single instructions move, read from their bytes. Pure.
//!
//! Movements say what a transaction *intends*; what it did is in its balances. They are used to tell payments in one
//! transaction apart, and to check what a payer wants us to broadcast.

use solana_pubkey::Pubkey;
use solana_system_interface::program::ID as SYSTEM_PROGRAM;

/// The two token programs.
pub const TOKEN_PROGRAMS: [Pubkey; 2] = [
    spl_token_interface::ID,
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"),
];

/// Discriminants of the system program's transfers; lamports follow both.
pub(super) const SYSTEM_TRANSFER: u32 = 2;
const SYSTEM_TRANSFER_WITH_SEED: u32 = 11;
/// Discriminants of the token programs.
pub(super) const TRANSFER: u8 = 3;
pub(super) const TRANSFER_CHECKED: u8 = 12;
const TRANSFER_FEE_EXTENSION: u8 = 26;
const TRANSFER_CHECKED_WITH_FEE: u8 = 1;
const BATCH: u8 = 255;

/// A transfer, as an instruction words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// The program that carries it out.
    pub program: Pubkey,
    /// The account that pays.
    pub source: Pubkey,
    /// The account that receives.
    pub destination: Pubkey,
    /// Who must have signed.
    pub authority: Pubkey,
    /// The mint, when the instruction names it.
    pub mint: Option<Pubkey>,
    /// What the destination gets, base units (a transfer fee that the instruction states is taken off).
    pub units: u64,
    /// Every account the instruction lists, its own alone.
    pub accounts: Vec<Pubkey>,
}

/// The transfers in one instruction; a token batch may hold several. Anything else holds none.
#[must_use]
pub fn movements(program: &Pubkey, accounts: &[Pubkey], data: &[u8]) -> Vec<Movement> {
    if *program == SYSTEM_PROGRAM {
        return system_transfer(accounts, data).into_iter().collect();
    }
    if !TOKEN_PROGRAMS.contains(program) {
        return Vec::new();
    }
    match data.split_first() {
        Some((&BATCH, rest)) => batch(program, accounts, rest),
        _ => token_transfer(program, accounts, data)
            .into_iter()
            .collect(),
    }
}

fn system_transfer(accounts: &[Pubkey], data: &[u8]) -> Option<Movement> {
    let (tag, rest) = data.split_first_chunk::<4>()?;
    let units = u64::from_le_bytes(*rest.first_chunk::<8>()?);
    let (destination, authority) = match u32::from_le_bytes(*tag) {
        SYSTEM_TRANSFER => (accounts.get(1)?, accounts.first()?),
        SYSTEM_TRANSFER_WITH_SEED => (accounts.get(2)?, accounts.get(1)?),
        _ => return None,
    };
    Some(Movement {
        program: SYSTEM_PROGRAM,
        source: *accounts.first()?,
        destination: *destination,
        authority: *authority,
        mint: None,
        units,
        accounts: accounts.to_vec(),
    })
}

fn token_transfer(program: &Pubkey, accounts: &[Pubkey], data: &[u8]) -> Option<Movement> {
    let amount = |at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(*data.get(at..)?.first_chunk::<8>()?))
    };
    let named = |units| {
        Some(Movement {
            program: *program,
            source: *accounts.first()?,
            mint: Some(*accounts.get(1)?),
            destination: *accounts.get(2)?,
            authority: *accounts.get(3)?,
            units,
            accounts: accounts.to_vec(),
        })
    };
    match *data.first()? {
        TRANSFER => Some(Movement {
            program: *program,
            source: *accounts.first()?,
            destination: *accounts.get(1)?,
            authority: *accounts.get(2)?,
            mint: None,
            units: amount(1)?,
            accounts: accounts.to_vec(),
        }),
        TRANSFER_CHECKED => named(amount(1)?),
        TRANSFER_FEE_EXTENSION if data.get(1) == Some(&TRANSFER_CHECKED_WITH_FEE) => {
            // Amount, one byte of decimals, fee.
            named(amount(2)?.checked_sub(amount(11)?)?)
        }
        _ => None,
    }
}

/// A batch: for each instruction its number of accounts, its number of bytes, its bytes. Accounts follow each other.
fn batch(program: &Pubkey, mut accounts: &[Pubkey], mut data: &[u8]) -> Vec<Movement> {
    let mut found = Vec::new();
    while let [account_count, length, rest @ ..] = data {
        let (account_count, length) = (usize::from(*account_count), usize::from(*length));
        let (Some((own, others)), Some((bytes, left))) = (
            accounts.split_at_checked(account_count),
            rest.split_at_checked(length),
        ) else {
            break;
        };
        found.extend(token_transfer(program, own, bytes));
        (accounts, data) = (others, left);
    }
    found
}
