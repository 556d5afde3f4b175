//! Holds what all nodes say about one transaction against each other.

use futures::future::join_all;
use serde_json::{Value, json};
use shared::chain::{
    Alike, Commitment, Judgement, Look, Node, NodeError, Shown, Sight, Standing, TaggedInvoice,
    Testimony, Unreadable, Verdict, judge, verify,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_api::request::RpcRequest;

use crate::context::Context;
use crate::examine::{ExamineError, tagged_invoices};

/// What a transaction did, by one node's account.
#[derive(Debug)]
pub struct Effect {
    /// As the node shows it.
    pub shown: Shown,
    /// What that is worth to whom.
    pub verdict: Verdict,
}

impl Alike for Effect {
    fn is_alike(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.shown.transaction, &other.shown.transaction);
        // Not every node knows when a block was made.
        let is_of_a_time = match (ours.block_time, theirs.block_time) {
            (Some(ours), Some(theirs)) => ours == theirs,
            (None, _) | (_, None) => true,
        };
        is_of_a_time
            && self.slot() == other.slot()
            && self.shown.failure == other.shown.failure
            && self.verdict == other.verdict
    }

    fn slot(&self) -> u64 {
        self.shown.transaction.slot
    }
}

/// What the nodes' answers come to.
#[derive(Debug)]
pub enum Weighed {
    /// It stays, with this effect.
    Settled(Box<Effect>),
    /// Every node answered, and none has a trace of it where it must have been.
    Absent,
    /// Somebody has it; that is not enough.
    Seen,
    /// Not decided.
    Open,
    /// Whoever shows it shows nothing that can be judged.
    Unreadable(Unreadable),
    /// Nodes contradict each other; all their answers.
    Disputed(Value),
}

/// How long a transaction has been waiting for the nodes' word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// They have hardly had the time: as long as none shows it, they are not asked for more.
    Hardly,
    /// It should be there.
    Some,
    /// As long as a node may be of no use: who cannot read it now is left out, as long as it does not deny it.
    Long,
}

/// Asks every node that is of use.
pub async fn weigh(
    context: &Context,
    signature: &str,
    slot: u64,
    commitment: Commitment,
    waited: Waited,
) -> Result<Weighed, ExamineError> {
    let looks = look_everywhere(context, signature, commitment).await;
    let is_shown = looks
        .iter()
        .any(|(_, look)| matches!(look, Ok(Some(Look::Shown(_)))));
    // At confirmed a node that does not show it says nothing.
    let stands = commitment == Commitment::Finalized && (is_shown || waited != Waited::Hardly);
    let leaves_out = stands && is_shown && waited == Waited::Long;
    let mut testimonies = Vec::new();
    let (mut unreadable, mut failed, mut tagged) = (None, None, None);
    let mut readers_lacking = 0;
    for (node, look) in looks {
        let testimony = match look {
            Ok(Some(Look::Shown(shown))) => {
                Testimony::Shows(effect(context, *shown, &mut tagged).await?)
            }
            Ok(Some(Look::Absent)) if stands => stand(node, signature).await,
            Ok(Some(Look::Unreadable(what))) => {
                unreadable = Some(what);
                let said = if leaves_out {
                    stand(node, signature).await
                } else {
                    Testimony::Silent
                };
                // It calls it final, and that is all it can.
                if matches!(&said, Testimony::Lacks(standing) if standing.sight == Sight::Final) {
                    readers_lacking += 1;
                    Testimony::Silent
                } else {
                    said
                }
            }
            Ok(Some(Look::Absent) | None) => Testimony::Silent,
            Err(error) => {
                failed = Some(error);
                Testimony::Silent
            }
        };
        testimonies.push(testimony);
    }
    let useful = context.nodes.each().filter(|node| !node.is_left_out());
    let readers = useful.count().saturating_sub(readers_lacking).max(1);
    let needed = context.nodes.agreement_now().min(readers);
    match judge(&testimonies, slot, needed) {
        Judgement::Final(_) => {}
        Judgement::Absent => return Ok(Weighed::Absent),
        Judgement::Disputed => return Ok(Weighed::Disputed(answers(context, &testimonies))),
        Judgement::Open | Judgement::Unheard => return undecided(&testimonies, unreadable, failed),
    }
    let effect = testimonies
        .into_iter()
        .find_map(|testimony| match testimony {
            Testimony::Shows(effect) => Some(effect),
            Testimony::Lacks(_) | Testimony::Silent => None,
        });
    Ok(effect.map_or(Weighed::Open, |effect| Weighed::Settled(Box::new(effect))))
}

/// What each node shows; nothing of one that is left out and not asked.
async fn look_everywhere<'a>(
    context: &'a Context,
    signature: &str,
    commitment: Commitment,
) -> Vec<(&'a Node, Result<Option<Look>, NodeError>)> {
    let asked = context.nodes.each().map(async |node| {
        if !node.is_asked(RpcRequest::GetTransaction) {
            return (node, Ok(None));
        }
        (node, node.look(signature, commitment).await.map(Some))
    });
    join_all(asked).await
}

/// Nothing is decided: because it cannot be read, because nobody answered, or because it takes time.
fn undecided(
    testimonies: &[Testimony<Effect>],
    unreadable: Option<Unreadable>,
    failed: Option<NodeError>,
) -> Result<Weighed, ExamineError> {
    let is_silent = testimonies
        .iter()
        .all(|testimony| matches!(testimony, Testimony::Silent));
    match (unreadable, failed) {
        (Some(unreadable), _) if is_silent => Ok(Weighed::Unreadable(unreadable)),
        (_, Some(error)) if is_silent => Err(error.into()),
        _ if testimonies.iter().any(is_sighting) => Ok(Weighed::Seen),
        _ => Ok(Weighed::Open),
    }
}

fn is_sighting(testimony: &Testimony<Effect>) -> bool {
    match testimony {
        Testimony::Shows(_) => true,
        Testimony::Lacks(standing) => standing.sight != Sight::Unknown,
        Testimony::Silent => false,
    }
}

/// What keys of a transaction name.
type Tagged = (Vec<Pubkey>, Vec<TaggedInvoice>);

/// Judges what a node shows. Nodes that agree name the same keys, which are looked up once.
async fn effect(
    context: &Context,
    shown: Shown,
    known: &mut Option<Tagged>,
) -> Result<Effect, sqlx::Error> {
    let keys = &shown.transaction.keys;
    if known.as_ref().is_none_or(|(known, _)| known != keys) {
        let tagged = tagged_invoices(&context.pool, &shown.transaction).await?;
        *known = Some((keys.clone(), tagged));
    }
    let tagged = known.as_ref().map_or(&[][..], |(_, tagged)| tagged);
    let accounts = context.accounts.borrow().clone();
    Ok(Effect {
        verdict: verify(&shown.transaction, &accounts, tagged),
        shown,
    })
}

async fn stand(node: &Node, signature: &str) -> Testimony<Effect> {
    let standings = node.standings(&[signature.to_owned()]).await;
    let standing: Option<Standing> = standings.ok().and_then(|all| all.first().copied());
    standing.map_or(Testimony::Silent, Testimony::Lacks)
}

/// What each node said, for an operator. Nodes are told by their place, since their URLs may hold keys.
fn answers(context: &Context, testimonies: &[Testimony<Effect>]) -> Value {
    let answers = context
        .nodes
        .each()
        .zip(testimonies)
        .map(|(node, testimony)| {
            let said = match testimony {
                Testimony::Shows(effect) => json!({
                    "slot": effect.shown.transaction.slot,
                    "error": effect.shown.failure,
                    "gains": effect.verdict.gains.iter().map(|(account, units)| {
                        json!({"account": account.to_string(), "units": units})
                    }).collect::<Vec<_>>(),
                    "credits": effect.verdict.credits.iter().map(|credit| {
                        json!({"invoice_id": credit.invoice, "units": credit.units})
                    }).collect::<Vec<_>>(),
                }),
                Testimony::Lacks(standing) => {
                    json!({"shown": false, "finalized_slot": standing.finalized})
                }
                Testimony::Silent => Value::Null,
            };
            json!({"node": node.label(), "said": said})
        });
    json!({"answers": answers.collect::<Vec<_>>()})
}

/// Tells operators of nodes that contradict each other.
pub fn report_dispute(signature: &str, answers: &Value) {
    tracing::error!(signature, %answers, "nodes disagree about a transaction");
    metrics::counter!("quittance_node_disagreements_total").increment(1);
}
