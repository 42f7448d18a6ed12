//! The arithmetic of a rolling update, as in the real Deployment controller. Pure.

use serde_json::Value;

use crate::{
    json::{number, text},
    number::{ratio, whole},
};

/// What a deployment asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) replicas: i64,
    pub(crate) surge: i64,
    pub(crate) unavailable: i64,
    pub(crate) recreate: bool,
    pub(crate) paused: bool,
    pub(crate) deadline: Option<i64>,
}

/// One ReplicaSet as the arithmetic sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Set {
    pub(crate) wanted: i64,
    pub(crate) available: i64,
}

impl Wish {
    pub(crate) fn of(deployment: &Value) -> Wish {
        let replicas = number(deployment, "/spec/replicas").unwrap_or(1);
        let recreate = text(deployment, "/spec/strategy/type") == "Recreate";
        let share = |name: &str, up: bool| {
            let at = format!("/spec/strategy/rollingUpdate/{name}");
            resolved(deployment.pointer(&at), replicas, up)
        };
        let (surge, mut unavailable) = (share("maxSurge", true), share("maxUnavailable", false));
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        Wish {
            replicas,
            surge,
            unavailable: unavailable.min(replicas),
            recreate,
            paused: deployment.pointer("/spec/paused") == Some(&Value::Bool(true)),
            deadline: number(deployment, "/spec/progressDeadlineSeconds"),
        }
    }

    /// How many replicas the new set shall have now.
    pub(crate) fn new_set(&self, new: Set, all: i64) -> i64 {
        if new.wanted >= self.replicas {
            return self.replicas;
        }
        let room = self.replicas + self.surge - all;
        if room <= 0 {
            return new.wanted;
        }
        new.wanted + room.min(self.replicas - new.wanted)
    }

    /// How many replicas each old set shall have now, oldest first.
    pub(crate) fn old_sets(&self, new: Set, old: &[Set]) -> Vec<i64> {
        let mut wanted: Vec<i64> = old.iter().map(|set| set.wanted).collect();
        let all = new.wanted + wanted.iter().sum::<i64>();
        let floor = self.replicas - self.unavailable;
        let mut spare = all - floor - (new.wanted - new.available);
        if spare <= 0 {
            return wanted;
        }
        // First the old ones that serve nobody.
        for (wanted, set) in wanted.iter_mut().zip(old) {
            let unhealthy = (set.wanted - set.available).max(0).min(spare);
            *wanted -= unhealthy;
            spare -= unhealthy;
        }
        let available = new.available + old.iter().map(|set| set.available).sum::<i64>();
        let mut excess = available - floor;
        for wanted in &mut wanted {
            let less = (*wanted).min(excess).max(0);
            *wanted -= less;
            excess -= less;
        }
        wanted
    }
}

/// A number, or a percentage of `replicas`.
fn resolved(value: Option<&Value>, replicas: i64, up: bool) -> i64 {
    let Some(value) = value else { return 0 };
    if let Some(number) = value.as_i64() {
        return number;
    }
    let share = value
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse::<f64>().ok());
    let share = share.unwrap_or(0.0) * ratio(replicas) / 100.0;
    whole(if up { share.ceil() } else { share.floor() })
}
