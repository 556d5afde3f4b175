//! A treasury, somebody who pays, and invoices.

use std::cell::RefCell;
use std::collections::HashMap;

use sha2::{Digest as _, Sha256};
use shared::chain::{
    ChainTransaction, DecodeError, DepositAccount, TaggedInvoice, Verdict, verify,
};
use shared::ids::InvoiceId;
use shared::invoices::Rail;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;
use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;

use crate::draft::{Answer, Draft};
use crate::ledger::{Ledger, Mint, TOKEN, TOKEN_2022};

/// All that can be settled.
pub const RAILS: [Rail; 3] = [Rail::SolNative, Rail::SolSplUsdc, Rail::SolSplUsdt];
/// What payments usually are, base units.
pub const A: u64 = 5_000_000;
/// What the treasury has of everything beforehand.
pub const SAVED: u64 = 70_000_000_000;
/// What payers have of everything.
pub const WEALTH: u64 = 1 << 60;

/// The key of this name.
pub fn key(name: &str) -> Pubkey {
    Pubkey::new_from_array(Sha256::digest(name).into())
}

/// The mint of a rail; none for the native coin. One token is the new program's, so that both take part.
pub fn mint(rail: Rail) -> Option<(Pubkey, Pubkey)> {
    match rail {
        Rail::SolSplUsdc => Some((key("USDC"), TOKEN)),
        Rail::SolSplUsdt => Some((key("USDT"), TOKEN_2022)),
        _ => None,
    }
}

thread_local! {
    /// Deriving addresses takes most of the time of random tests.
    static DERIVED: RefCell<HashMap<[Pubkey; 2], Pubkey>> = RefCell::default();
}

/// Where a wallet keeps what a rail is paid with.
pub fn account_of(wallet: Pubkey, rail: Rail) -> Pubkey {
    let Some((mint, program)) = mint(rail) else {
        return wallet;
    };
    let derive = || get_associated_token_address_with_program_id(&wallet, &mint, &program);
    DERIVED.with_borrow_mut(|known| *known.entry([wallet, mint]).or_insert_with(derive))
}

/// Everything there is.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Balances.
    pub ledger: Ledger,
    /// Accounts that money may arrive on.
    pub accounts: Vec<DepositAccount>,
    /// Every invoice that was ever made, in whatever state.
    pub invoices: Vec<TaggedInvoice>,
    /// The wallet that new invoices show.
    pub treasury: Pubkey,
    /// Who pays, unless somebody else does.
    pub payer: Pubkey,
}

impl Scene {
    /// A treasury with money on all rails, and a rich payer.
    pub fn new() -> Self {
        let mut scene = Self {
            ledger: Ledger::default(),
            accounts: Vec::new(),
            invoices: Vec::new(),
            treasury: key("treasury"),
            payer: key("payer"),
        };
        for (mint, program) in RAILS.into_iter().filter_map(mint) {
            scene.ledger.mints.insert(
                mint,
                Mint {
                    program,
                    decimals: 6,
                    fee_basis_points: 0,
                    shown_percent: 100,
                },
            );
        }
        scene.add_wallet(scene.payer, WEALTH);
        scene.add_treasury(scene.treasury);
        scene
    }

    /// Somebody who has so much of everything.
    pub fn add_wallet(&mut self, wallet: Pubkey, units: u64) {
        self.ledger.lamports.insert(wallet, units);
        for rail in RAILS {
            if let Some((mint, _)) = mint(rail) {
                self.ledger
                    .open(account_of(wallet, rail), mint, wallet, units);
            }
        }
    }

    /// A wallet of ours, watched on all rails.
    pub fn add_treasury(&mut self, recipient: Pubkey) {
        self.add_wallet(recipient, SAVED);
        self.accounts
            .extend(RAILS.into_iter().map(|rail| DepositAccount {
                account: account_of(recipient, rail),
                rail,
                recipient,
                token: mint(rail),
            }));
    }

    /// Another invoice, to be paid to the treasury.
    pub fn invoice(&mut self, rail: Rail) -> TaggedInvoice {
        let recipient = self.treasury;
        self.invoice_to(recipient, rail)
    }

    /// Another invoice, to be paid to a wallet.
    pub fn invoice_to(&mut self, recipient: Pubkey, rail: Rail) -> TaggedInvoice {
        let number = self.invoices.len();
        let invoice = TaggedInvoice {
            id: InvoiceId::from_row(format!("inv_{number:016x}")),
            reference: key(&format!("reference {number}")),
            rail,
            recipient,
        };
        self.invoices.push(invoice.clone());
        invoice
    }

    /// Our account of a rail.
    pub fn ours(&self, rail: Rail) -> Pubkey {
        account_of(self.treasury, rail)
    }

    /// A transaction of the payer.
    pub fn draft(&self) -> Draft {
        Draft::new(self.payer)
    }

    /// The payer's transfer to the treasury, marked with keys.
    pub fn pay(&self, rail: Rail, units: u64, marks: &[Pubkey]) -> Instruction {
        transfer(rail, self.payer, self.treasury, units, marks)
    }

    /// Lands a transaction and judges it.
    pub fn land(&mut self, draft: &Draft) -> Verdict {
        let answer = draft.land(&mut self.ledger);
        self.judge(&answer).unwrap()
    }

    /// What the watcher makes of an answer.
    pub fn judge(&self, answer: &Answer) -> Result<Verdict, DecodeError> {
        let transaction = ChainTransaction::decode(answer)?;
        Ok(verify(
            &transaction,
            &self.accounts,
            &self.tagged(&transaction),
        ))
    }

    /// The invoices whose references a transaction names.
    pub fn tagged(&self, transaction: &ChainTransaction) -> Vec<TaggedInvoice> {
        let named = |invoice: &&TaggedInvoice| transaction.keys.contains(&invoice.reference);
        self.invoices.iter().filter(named).cloned().collect()
    }
}

/// A transfer from one wallet to another, by whatever a rail is, marked with keys.
pub fn transfer(rail: Rail, from: Pubkey, to: Pubkey, units: u64, marks: &[Pubkey]) -> Instruction {
    let (source, destination) = (account_of(from, rail), account_of(to, rail));
    let instruction = match mint(rail) {
        None => system::transfer(&source, &destination, units),
        Some((mint, program)) => token_transfer(program, source, mint, destination, from, units),
    };
    marked(instruction, marks)
}

/// A checked transfer of tokens with six decimals.
pub fn token_transfer(
    program: Pubkey,
    source: Pubkey,
    mint: Pubkey,
    destination: Pubkey,
    owner: Pubkey,
    units: u64,
) -> Instruction {
    spl_token_2022_interface::instruction::transfer_checked(
        &program,
        &source,
        &mint,
        &destination,
        &owner,
        &[],
        units,
        6,
    )
    .unwrap()
}

/// The instruction with more keys, as wallets add references.
pub fn marked(mut instruction: Instruction, marks: &[Pubkey]) -> Instruction {
    let marks = marks.iter();
    let marks = marks.map(|mark| AccountMeta::new_readonly(*mark, false));
    instruction.accounts.extend(marks);
    instruction
}

/// An instruction of a program that does nothing to balances.
pub fn idle(program: Pubkey, marks: &[Pubkey]) -> Instruction {
    marked(
        Instruction::new_with_bytes(program, b"hello", vec![]),
        marks,
    )
}

/// A memo.
pub fn memo(marks: &[Pubkey]) -> Instruction {
    idle(
        Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
        marks,
    )
}

/// What a verdict credits an invoice with, over all accounts.
pub fn credited(verdict: &Verdict, invoice: &TaggedInvoice) -> u64 {
    let credits = verdict.credits.iter();
    let credits = credits.filter(|credit| credit.invoice == invoice.id);
    credits.map(|credit| credit.units).sum()
}

/// What a verdict leaves to operators: where, how much, why.
pub fn waiting(verdict: &Verdict) -> Vec<(Pubkey, u64, &'static str)> {
    let open = verdict.open.iter();
    open.map(|open| (open.account, open.units, open.reason.name()))
        .collect()
}
