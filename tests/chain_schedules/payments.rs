//! Payments of every kind, and what each is worth to whom.

use fault_kit::transaction::{TokenTransfer, Version as Form};
use fault_kit::{FakeTransaction, TransactionBuilder};
use rand::RngExt;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use solana_system_interface::instruction as system;
use solana_transaction_error::TransactionError;

use crate::transactions::effects;
use crate::world::{Bill, Share, Version, Whose, World};

/// The native coin's place among the accounts.
const NATIVE: usize = 0;
const FORMS: [Form; 3] = [Form::Legacy, Form::V0, Form::V1];
/// Where the treasury's money goes.
const ELSEWHERE: Pubkey = Pubkey::new_from_array([5; 32]);

impl World {
    /// Lands a payment of any kind.
    pub fn pay(&mut self) {
        let places: Vec<usize> = (0..self.bills.len()).collect();
        let Some(at) = self.pick(&places) else {
            return;
        };
        let bill = self.bills[at].clone();
        let whole = bill.units;
        match self.rng.random_range(0..20_u32) {
            0..=4 => self.pay_bill("an exact payment", at, whole),
            5..=7 => self.pay_bill("a part", at, whole / 3 + 1),
            8 => self.pay_bill("a surplus", at, whole + whole / 2),
            9 => self.pay_two(at),
            10 => self.pay_ambiguously(at),
            11 => self.pay_nobody("an untagged payment", bill.account, whole),
            12 => self.pay_nobody("dust", bill.account, 1),
            13 => self.pay_other_rail(at),
            14 => self.fail_to_pay(at),
            15 | 16 => self.pay_and_spend(at),
            17 => self.spend(bill.account, whole / 4 + 1),
            18 => self.pay_with_junk(at),
            _ => self.mention(),
        }
    }

    fn builder(&mut self) -> TransactionBuilder {
        let form = self.pick(&FORMS).unwrap_or_default();
        // The memo makes it another transaction than any before.
        let number = self.payments.len().to_string();
        TransactionBuilder::new(&self.payer, self.chain.blockhash())
            .version(form)
            .memo(&number, &[self.beacon])
    }

    /// Moves units to an account of ours.
    fn bring(
        &self,
        builder: TransactionBuilder,
        account: usize,
        units: u64,
        references: &[Pubkey],
    ) -> TransactionBuilder {
        match &self.transfers[account] {
            None => builder.sol_transfer(self.accounts[account].key, units, references),
            Some(transfer) => {
                let transfer = TokenTransfer {
                    amount: units,
                    ..transfer.clone()
                };
                builder.token_transfer(&transfer.tagged(references))
            }
        }
    }

    /// Moves units out of an account of ours.
    fn take(&self, builder: TransactionBuilder, account: usize, units: u64) -> TransactionBuilder {
        let treasury = self.treasury.pubkey();
        let builder = builder.signer(&self.treasury);
        match &self.transfers[account] {
            None => builder.instruction(system::transfer(&treasury, &ELSEWHERE, units)),
            Some(transfer) => builder.token_transfer(&TokenTransfer {
                amount: units,
                source: transfer.destination,
                authority: treasury,
                destination: ELSEWHERE,
                destination_owner: ELSEWHERE,
                ..transfer.clone()
            }),
        }
    }

    fn version(&self, builder: TransactionBuilder, shares: Vec<Share>) -> Version {
        let transaction = builder.build().unwrap();
        let version = Version {
            transaction,
            shares,
        };
        self.assert_sound(&version);
        version
    }

    /// Each account's shares are its gain.
    fn assert_sound(&self, version: &Version) {
        let done = effects(&version.transaction, &self.accounts);
        for (at, effect) in done.iter().enumerate() {
            let own = version.shares.iter().filter(|share| share.account == at);
            let sum: i128 = own.map(|share| i128::from(share.units)).sum();
            assert_eq!(sum, effect.gain, "a mistake of this test");
        }
    }

    fn pay_bill(&mut self, what: &'static str, at: usize, units: u64) {
        let bill = self.bills[at].clone();
        let builder = self.builder();
        let builder = self.bring(builder, bill.account, units, &[bill.reference]);
        let version = self.version(builder, vec![share(&bill, Whose::Bills(at), units)]);
        self.land(what, version);
    }

    /// Another invoice that is paid on the same account.
    fn neighbour(&mut self, at: usize) -> Option<usize> {
        let account = self.bills[at].account;
        let is_near = |other: &usize| *other != at && self.bills[*other].account == account;
        let near: Vec<usize> = (0..self.bills.len()).filter(is_near).collect();
        self.pick(&near)
    }

    fn pay_two(&mut self, at: usize) {
        let Some(other) = self.neighbour(at) else {
            return self.pay_bill("an exact payment", at, self.bills[at].units);
        };
        let mut builder = self.builder();
        let mut shares = Vec::new();
        for place in [at, other] {
            let bill = self.bills[place].clone();
            builder = self.bring(builder, bill.account, bill.units, &[bill.reference]);
            shares.push(share(&bill, Whose::Bills(place), bill.units));
        }
        let version = self.version(builder, shares);
        self.land("a payment for two", version);
    }

    fn pay_ambiguously(&mut self, at: usize) {
        let Some(other) = self.neighbour(at) else {
            return;
        };
        let bill = self.bills[at].clone();
        let names = [bill.reference, self.bills[other].reference];
        let builder = self.builder();
        let builder = self.bring(builder, bill.account, bill.units, &names);
        let version = self.version(builder, vec![share(&bill, Whose::Operators, bill.units)]);
        self.land("a payment that names two", version);
    }

    fn pay_nobody(&mut self, what: &'static str, account: usize, units: u64) {
        let builder = self.builder();
        let builder = self.bring(builder, account, units, &[]);
        let share = Share {
            account,
            whose: Whose::Operators,
            units,
        };
        let version = self.version(builder, vec![share]);
        self.land(what, version);
    }

    fn pay_other_rail(&mut self, at: usize) {
        let bill = self.bills[at].clone();
        let account = (bill.account + 1) % self.accounts.len();
        let builder = self.builder();
        let builder = self.bring(builder, account, bill.units, &[bill.reference]);
        let share = Share {
            account,
            whose: Whose::Operators,
            units: bill.units,
        };
        let version = self.version(builder, vec![share]);
        self.land("a payment on another rail", version);
    }

    fn fail_to_pay(&mut self, at: usize) {
        let bill = self.bills[at].clone();
        let builder = self.builder();
        let builder = self.bring(builder, bill.account, bill.units, &[bill.reference]);
        let version = self.version(
            builder.failing(TransactionError::AccountNotFound),
            Vec::new(),
        );
        self.land("a failed payment", version);
    }

    /// In one transaction money comes in, and less, as much or more goes out.
    fn pay_and_spend(&mut self, at: usize) {
        let bill = self.bills[at].clone();
        let units = bill.units;
        let spent = match self.rng.random_range(0..3) {
            0 => units / 2,
            1 => units,
            _ => units * 2,
        };
        let builder = self.builder();
        let builder = self.bring(builder, bill.account, units, &[bill.reference]);
        let mut builder = self.take(builder, bill.account, spent);
        if bill.account == NATIVE {
            let before = 1_000_000_000_000;
            builder = builder.lamports(self.accounts[NATIVE].key, before, before + units - spent);
        }
        let kept = units.saturating_sub(spent);
        let shares = match kept {
            0 => Vec::new(),
            kept => vec![share(&bill, Whose::Bills(at), kept)],
        };
        let version = self.version(builder, shares);
        self.land("a payment with an outflow", version);
    }

    fn spend(&mut self, account: usize, units: u64) {
        let builder = TransactionBuilder::new(&self.treasury, self.chain.blockhash())
            .memo(&self.payments.len().to_string(), &[]);
        let builder = match account {
            NATIVE => builder.sol_transfer(ELSEWHERE, units, &[]),
            _ => self.take_own(builder, account, units),
        };
        let version = self.version(builder, Vec::new());
        self.land("an outflow", version);
    }

    /// The treasury pays the fee itself.
    fn take_own(
        &self,
        builder: TransactionBuilder,
        account: usize,
        units: u64,
    ) -> TransactionBuilder {
        let Some(transfer) = &self.transfers[account] else {
            return builder;
        };
        builder.token_transfer(&TokenTransfer {
            amount: units,
            source: transfer.destination,
            authority: self.treasury.pubkey(),
            destination: ELSEWHERE,
            destination_owner: ELSEWHERE,
            ..transfer.clone()
        })
    }

    /// A payment, and as much as there can be of a worthless token in the same transaction.
    fn pay_with_junk(&mut self, at: usize) {
        let bill = self.bills[at].clone();
        let junk = TokenTransfer {
            amount: u64::MAX,
            ..self.junk.clone()
        };
        let builder = self.builder();
        let builder = self.bring(builder, bill.account, bill.units, &[bill.reference]);
        let builder = builder.token_transfer(&junk);
        let version = self.version(builder, vec![share(&bill, Whose::Bills(at), bill.units)]);
        self.land("a payment with junk", version);
    }

    fn mention(&mut self) {
        let builder = self.builder();
        let version = self.version(builder, Vec::new());
        self.land("a mention", version);
    }

    /// The same transaction, come out another way: it failed, or it moved something else.
    pub fn bent(&mut self, version: &Version) -> Version {
        let mut transaction = version.transaction.clone();
        let single = match version.shares.as_slice() {
            [only] => Some(*only),
            _ => None,
        };
        match single {
            Some(only) if only.units > 1 && self.rng.random_bool(0.5) => {
                self.halve(&mut transaction, only.account);
                let gain = effects(&transaction, &self.accounts)[only.account].gain;
                let units = u64::try_from(gain).unwrap();
                let shares = vec![Share { units, ..only }];
                Version {
                    transaction,
                    shares,
                }
            }
            _ => Version {
                transaction: failed(transaction),
                shares: Vec::new(),
            },
        }
    }

    /// Half of what an account had afterwards more than before.
    fn halve(&self, transaction: &mut FakeTransaction, account: usize) {
        let key = self.accounts[account].key;
        let place = transaction.keys().position(|one| one == key).unwrap();
        if account == NATIVE {
            let before = transaction.pre_balances[place];
            let after = transaction.post_balances[place];
            transaction.post_balances[place] = before + (after - before) / 2;
            return;
        }
        for row in &mut transaction.tokens {
            if row.account == key {
                let before = row.before.unwrap_or(0);
                row.after = row.after.map(|after| before + (after - before) / 2);
            }
        }
    }
}

/// Only the fee was taken.
fn failed(mut transaction: FakeTransaction) -> FakeTransaction {
    transaction.err = Some(TransactionError::AccountNotFound);
    transaction
        .post_balances
        .clone_from(&transaction.pre_balances);
    transaction.post_balances[0] -= transaction.fee;
    for row in &mut transaction.tokens {
        row.after = row.before;
        row.owner = row.owner_before;
    }
    transaction
}

fn share(bill: &Bill, whose: Whose, units: u64) -> Share {
    Share {
        account: bill.account,
        whose,
        units,
    }
}
