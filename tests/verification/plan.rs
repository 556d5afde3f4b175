//! Random transactions: movements between our accounts and others, with marks anywhere, in any form.

use std::sync::LazyLock;

use proptest::prelude::*;
use shared::invoices::Rail;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_system_interface::instruction as system;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use spl_token_2022_interface::instruction as token;

use crate::draft::{Draft, Form};
use crate::ledger::TOKEN;
use crate::scene::{
    RAILS, Scene, WEALTH, account_of, idle, key, marked, memo, mint, token_transfer, transfer,
};

/// Whose money moves: two treasuries and two others.
pub fn wallets() -> [Pubkey; 4] {
    ["treasury", "former treasury", "payer", "other payer"].map(key)
}

const AUXILIARY: &str = "auxiliary account of the treasury";
const CLOSING: &str = "account to be closed";
const INVOICES: usize = 8;
/// Keys that instructions are marked with: references and four more.
const MARKS: usize = INVOICES + 4;

static SCENE: LazyLock<Scene> = LazyLock::new(new_scene);

/// Two invoices for each rail, and two for the former treasury; strangers, who have nothing to do with anything.
pub fn scene() -> Scene {
    SCENE.clone()
}

fn new_scene() -> Scene {
    let mut scene = Scene::new();
    scene.add_treasury(key("former treasury"));
    for name in ["other payer", "stranger", "other stranger"] {
        scene.add_wallet(key(name), WEALTH);
    }
    for rail in [RAILS, RAILS].concat() {
        scene.invoice(rail);
    }
    for rail in [Rail::SolNative, Rail::SolSplUsdc] {
        scene.invoice_to(key("former treasury"), rail);
    }
    assert_eq!(scene.invoices.len(), INVOICES);
    let usdc = key("USDC");
    let treasury = scene.treasury;
    scene.ledger.open(key(AUXILIARY), usdc, treasury, 3);
    scene.ledger.open(key(CLOSING), usdc, key("payer"), 0);
    scene
}

fn mark(scene: &Scene, place: usize) -> Pubkey {
    match scene.invoices.get(place) {
        Some(invoice) => invoice.reference,
        None if place == INVOICES => scene.ours(Rail::SolSplUsdc),
        None if place == INVOICES + 1 => scene.payer,
        None if place == INVOICES + 2 => key("never issued"),
        None => key("beacon"),
    }
}

/// A transfer between wallets.
#[derive(Debug, Clone)]
struct Transfer {
    rail: Rail,
    from: usize,
    to: usize,
    units: u64,
    marks: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Step {
    Transfer(Transfer),
    Unchecked(Transfer),
    WithSeed(Transfer),
    Batch(Rail, Vec<Transfer>),
    Mint(Transfer),
    ToAuxiliary(Transfer),
    Close(Transfer),
    GiveAway(Transfer),
    Create(Transfer),
    Memo(Vec<usize>),
}

/// A transaction in terms of a scene.
#[derive(Debug, Clone)]
pub struct Plan {
    form: Form,
    payer: usize,
    steps: Vec<(Step, Option<Vec<usize>>)>,
    looked_up: Vec<usize>,
    fails: bool,
}

impl Plan {
    /// Who pays its fee.
    pub fn payer(&self) -> Pubkey {
        wallets()[self.payer]
    }

    /// The transaction.
    pub fn draft(&self, scene: &Scene) -> Draft {
        let mut draft = Draft::new(self.payer()).form(self.form);
        for (step, by_program) in &self.steps {
            let instruction = step.instruction(scene);
            draft = match by_program {
                None => draft.call(instruction),
                Some(marks) => draft.by_program(vec![instruction], &keys(scene, marks)),
            };
        }
        if self.fails {
            draft = draft.failing();
        }
        let mut tabled = keys(scene, &self.looked_up);
        tabled.push(scene.ours(Rail::SolSplUsdt));
        tabled.dedup();
        draft.looking_up(&tabled)
    }
}

fn keys(scene: &Scene, marks: &[usize]) -> Vec<Pubkey> {
    marks.iter().map(|place| mark(scene, *place)).collect()
}

impl Transfer {
    fn from(&self) -> Pubkey {
        wallets()[self.from]
    }

    fn to(&self) -> Pubkey {
        wallets()[self.to]
    }

    fn instruction(&self, scene: &Scene) -> Instruction {
        let marks = keys(scene, &self.marks);
        transfer(self.rail, self.from(), self.to(), self.units, &marks)
    }

    /// The rail's token, or else USDC.
    fn token(&self) -> (Rail, Pubkey, Pubkey) {
        let rail = match self.rail {
            Rail::SolSplUsdt => self.rail,
            _ => Rail::SolSplUsdc,
        };
        let (mint, program) = mint(rail).unwrap();
        (rail, mint, program)
    }
}

impl Step {
    fn instruction(&self, scene: &Scene) -> Instruction {
        let (instruction, marks) = match self {
            Self::Transfer(it) => return it.instruction(scene),
            Self::Batch(rail, parts) => return batch(scene, *rail, parts),
            Self::Memo(marks) => return memo(&keys(scene, marks)),
            Self::Unchecked(it) => (unchecked(it), &it.marks),
            Self::WithSeed(it) => {
                let (from, to) = (it.from(), it.to());
                let seed = "seed".to_owned();
                let owner = key("program");
                let pay = system::transfer_with_seed(&from, &from, seed, &owner, &to, it.units);
                (pay, &it.marks)
            }
            Self::Mint(it) => {
                let (rail, mint, program) = it.token();
                let account = account_of(it.to(), rail);
                let minting = token::mint_to(&program, &mint, &account, &it.from(), &[], it.units);
                (minting.unwrap(), &it.marks)
            }
            Self::ToAuxiliary(it) => {
                let source = account_of(it.from(), Rail::SolSplUsdc);
                let usdc = key("USDC");
                let auxiliary = key(AUXILIARY);
                let pay = token_transfer(TOKEN, source, usdc, auxiliary, it.from(), it.units);
                (pay, &it.marks)
            }
            Self::Close(it) => {
                let account = key(CLOSING);
                let closing = token::close_account(&TOKEN, &account, &it.to(), &key("payer"), &[]);
                (closing.unwrap(), &it.marks)
            }
            Self::GiveAway(it) => {
                let (rail, _, program) = it.token();
                let (account, new) = (account_of(it.from(), rail), it.to());
                let kind = token::AuthorityType::AccountOwner;
                let giving =
                    token::set_authority(&program, &account, Some(&new), kind, &it.from(), &[]);
                (giving.unwrap(), &it.marks)
            }
            Self::Create(it) => {
                let (_, mint, program) = it.token();
                let (from, to) = (it.from(), it.to());
                let creating =
                    create_associated_token_account_idempotent(&from, &to, &mint, &program);
                (creating, &it.marks)
            }
        };
        marked(instruction, &keys(scene, marks))
    }
}

/// A token transfer that does not name its mint, in either program.
fn unchecked(transfer: &Transfer) -> Instruction {
    let (rail, _, program) = transfer.token();
    let from = transfer.from();
    let (source, destination) = (account_of(from, rail), account_of(transfer.to(), rail));
    let units = transfer.units;
    let signers = &[];
    let instruction = spl_token_interface::instruction::transfer(
        &TOKEN,
        &source,
        &destination,
        &from,
        signers,
        units,
    );
    Instruction {
        program_id: program,
        ..instruction.unwrap()
    }
}

fn batch(scene: &Scene, rail: Rail, parts: &[Transfer]) -> Instruction {
    let (_, program) = mint(rail).unwrap();
    let parts: Vec<Instruction> = parts.iter().map(|part| part.instruction(scene)).collect();
    let mut data = vec![255];
    for part in &parts {
        data.push(u8::try_from(part.accounts.len()).unwrap());
        data.push(u8::try_from(part.data.len()).unwrap());
        data.extend(&part.data);
    }
    Instruction {
        program_id: program,
        accounts: parts.into_iter().flat_map(|part| part.accounts).collect(),
        data,
    }
}

fn units() -> impl Strategy<Value = u64> {
    prop_oneof![
        20 => 0..10_u64,
        20 => 1..100_000_000_u64,
        10 => Just(1 << 53 | 1),
        1 => any::<u64>(),
    ]
}

fn marks() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        3 => Just(vec![]),
        4 => prop::collection::vec(0..INVOICES, 1),
        1 => prop::collection::vec(0..MARKS, 1..4),
    ]
}

fn rail() -> impl Strategy<Value = Rail> {
    prop::sample::select(&RAILS[..])
}

/// Mostly towards us.
fn a_transfer(rail: impl Strategy<Value = Rail>) -> impl Strategy<Value = Transfer> {
    let from = prop_oneof![1 => 0..4_usize, 4 => 2..4_usize];
    transfer_from(from, rail)
}

fn transfer_from(
    from: impl Strategy<Value = usize>,
    rail: impl Strategy<Value = Rail>,
) -> impl Strategy<Value = Transfer> {
    let to = prop_oneof![4 => Just(0), 2 => 0..4_usize];
    (rail, from, to, units(), marks()).prop_map(|(rail, from, to, units, marks)| Transfer {
        rail,
        from,
        to,
        units,
        marks,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let it = || a_transfer(rail());
    let tokens = prop::sample::select(&RAILS[1..]);
    let parts = tokens.prop_flat_map(|rail| {
        (
            Just(rail),
            prop::collection::vec(a_transfer(Just(rail)), 0..4),
        )
    });
    prop_oneof![
        12 => it().prop_map(Step::Transfer),
        3 => it().prop_map(Step::Unchecked),
        2 => it().prop_map(Step::WithSeed),
        4 => parts.prop_map(|(rail, parts)| Step::Batch(rail, parts)),
        1 => it().prop_map(Step::Mint),
        1 => it().prop_map(Step::ToAuxiliary),
        1 => it().prop_map(Step::Close),
        2 => transfer_from(0..2_usize, rail()).prop_map(Step::GiveAway),
        1 => it().prop_map(Step::Create),
        3 => marks().prop_map(Step::Memo),
    ]
}

/// Any transaction.
pub fn plan() -> impl Strategy<Value = Plan> {
    let form = prop::sample::select(vec![Form::Legacy, Form::V0, Form::V1]);
    let by_program = prop::option::weighted(0.2, marks());
    (
        form,
        prop_oneof![8 => 2..4_usize, 2 => 0..4_usize],
        prop::collection::vec((step(), by_program), 1..6),
        prop::collection::hash_set(0..MARKS, 0..4),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(form, payer, steps, looked_up, fails)| Plan {
            form,
            payer,
            steps,
            looked_up: looked_up.into_iter().collect(),
            fails,
        })
}

/// Instructions that concern nobody here.
pub fn unrelated() -> impl Strategy<Value = Instruction> {
    let (from, to) = (key("stranger"), key("other stranger"));
    prop_oneof![
        Just(memo(&[])),
        (rail(), 0..1_000_000_u64).prop_map(move |(rail, units)| transfer(
            rail,
            from,
            to,
            units,
            &[from]
        )),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(move |data| Instruction {
            data,
            ..idle(key("any program"), &[from, to])
        }),
    ]
}
