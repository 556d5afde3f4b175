//! The pricing resolver (contract §4.1).

use super::{BillAction, Plan};
use crate::config::BillingConfig;

/// Why an amount was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Below zero.
    #[error("bad amount_micro")]
    Negative,
    /// A subscription has its price; another amount is refused.
    #[error("amount_mismatch")]
    Mismatch,
    /// A top-up has no price of its own.
    #[error("amount_required")]
    Required,
    /// A top-up above the configured maximum.
    #[error("amount_too_large")]
    TooLarge,
}

/// The amount due, micro-USD. `asked` is the client's amount; 0 means: price it.
pub fn price(config: &BillingConfig, action: BillAction, asked: i64) -> Result<i64, PriceError> {
    if asked < 0 {
        return Err(PriceError::Negative);
    }
    let Some((plan, months)) = action.subscription() else {
        return match asked {
            0 => Err(PriceError::Required),
            _ if asked > config.topup_max_micro => Err(PriceError::TooLarge),
            _ => Ok(asked),
        };
    };
    let monthly = match plan {
        Plan::Starter => config.plan_starter_micro,
        Plan::Growth => config.plan_growth_micro,
        Plan::Scale => config.plan_scale_micro,
    };
    // Cannot overflow: the configuration bounds every price so that twelve months fit.
    let due = monthly
        .checked_mul(i64::from(months))
        .ok_or(PriceError::TooLarge)?;
    if asked == 0 || asked == due {
        Ok(due)
    } else {
        Err(PriceError::Mismatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_have_prices_and_topups_have_amounts() {
        let variables = [("DATABASE_URL".to_owned(), "postgres://q".to_owned())];
        let config =
            crate::config::Config::from_variables(crate::config::Process::Command, variables)
                .unwrap()
                .billing;
        let growth = BillAction::SubscriptionPurchase {
            plan: Plan::Growth,
            months: 3,
        };
        let cases = [
            (growth, 0, Ok(597_000_000)),
            (growth, 597_000_000, Ok(597_000_000)),
            (growth, 1, Err(PriceError::Mismatch)),
            (growth, -1, Err(PriceError::Negative)),
            (BillAction::Topup, 0, Err(PriceError::Required)),
            (BillAction::Topup, -5, Err(PriceError::Negative)),
            (BillAction::Topup, 1, Ok(1)),
            (
                BillAction::Topup,
                config.topup_max_micro,
                Ok(config.topup_max_micro),
            ),
            (
                BillAction::Topup,
                config.topup_max_micro + 1,
                Err(PriceError::TooLarge),
            ),
        ];
        for (action, asked, expected) in cases {
            assert_eq!(
                price(&config, action, asked),
                expected,
                "{action:?} {asked}"
            );
        }
    }
}
