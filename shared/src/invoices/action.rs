//! What paying an invoice does (contract §2.2).

use serde::{Deserialize, Serialize};

/// The type of a top-up.
pub const TOPUP: &str = "topup";
/// The durations one can buy, in months.
const MONTHS: [i16; 4] = [1, 3, 6, 12];

/// A plan of the API (contract §9 C12: these names rule).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// The smallest.
    Starter,
    /// The middle one.
    Growth,
    /// The largest.
    Scale,
}

impl Plan {
    /// The plan of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Starter, Self::Growth, Self::Scale]
            .into_iter()
            .find(|plan| plan.name() == name)
    }

    /// Its name on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Growth => "growth",
            Self::Scale => "scale",
        }
    }
}

/// What an invoice is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BillAction {
    /// Buys a plan for some months.
    SubscriptionPurchase {
        /// The plan.
        plan: Plan,
        /// 1, 3, 6 or 12.
        months: i16,
    },
    /// Prolongs a plan by some months.
    SubscriptionRenew {
        /// The plan.
        plan: Plan,
        /// 1, 3, 6 or 12.
        months: i16,
    },
    /// Credits the prepaid balance.
    Topup,
}

/// What is wrong with a requested action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// Not one of the three types.
    #[error("bad bill_action type")]
    Type,
    /// A subscription without one of the three plans.
    #[error("bad plan")]
    Plan,
    /// A subscription without one of the four durations.
    #[error("bad months")]
    Months,
}

impl BillAction {
    /// Checks the parts of an action. Plan and months of a top-up are ignored (contract §2.2).
    pub fn from_parts(
        kind: &str,
        plan: Option<&str>,
        months: Option<i64>,
    ) -> Result<Self, ActionError> {
        if kind == TOPUP {
            return Ok(Self::Topup);
        }
        let purchase = match kind {
            "subscription_purchase" => true,
            "subscription_renew" => false,
            _ => return Err(ActionError::Type),
        };
        let plan = plan.and_then(Plan::parse).ok_or(ActionError::Plan)?;
        let months = months
            .and_then(|months| i16::try_from(months).ok())
            .filter(|months| MONTHS.contains(months))
            .ok_or(ActionError::Months)?;
        Ok(if purchase {
            Self::SubscriptionPurchase { plan, months }
        } else {
            Self::SubscriptionRenew { plan, months }
        })
    }

    /// Its type on the wire and in the database.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::SubscriptionPurchase { .. } => "subscription_purchase",
            Self::SubscriptionRenew { .. } => "subscription_renew",
            Self::Topup => TOPUP,
        }
    }

    /// Plan and months of a subscription.
    #[must_use]
    pub fn subscription(self) -> Option<(Plan, i16)> {
        match self {
            Self::SubscriptionPurchase { plan, months }
            | Self::SubscriptionRenew { plan, months } => Some((plan, months)),
            Self::Topup => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_checked_part_by_part() {
        let cases = [
            (("topup", None, None), Ok(BillAction::Topup)),
            (("topup", Some("starter"), Some(3)), Ok(BillAction::Topup)),
            (
                ("subscription_renew", Some("scale"), Some(12)),
                Ok(BillAction::SubscriptionRenew {
                    plan: Plan::Scale,
                    months: 12,
                }),
            ),
            (
                ("subscription", Some("scale"), Some(12)),
                Err(ActionError::Type),
            ),
            (
                ("subscription_purchase", None, Some(1)),
                Err(ActionError::Plan),
            ),
            (
                ("subscription_purchase", Some("Starter"), Some(1)),
                Err(ActionError::Plan),
            ),
            (
                ("subscription_purchase", Some("starter"), None),
                Err(ActionError::Months),
            ),
            (
                ("subscription_purchase", Some("starter"), Some(2)),
                Err(ActionError::Months),
            ),
            (
                ("subscription_purchase", Some("starter"), Some(65537)),
                Err(ActionError::Months),
            ),
        ];
        for ((kind, plan, months), expected) in cases {
            assert_eq!(
                BillAction::from_parts(kind, plan, months),
                expected,
                "{kind} {plan:?} {months:?}"
            );
        }
    }
}
