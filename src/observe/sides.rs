//! Pure. Which pods of a guard's workloads are of the newest revision and which of older ones, and what each of them counted.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    cluster::Cluster,
    objects::{Pod, Workload},
};
use crate::{
    judge::{policy::Policy, share::Count, sides::Sides},
    model::guard::{GuardSpec, TargetRef},
};

/// The pods of a guard's workloads, by name and by address: whether they are of the newest revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    by_name: BTreeMap<String, bool>,
    by_address: BTreeMap<String, bool>,
}

/// What one pod counted.
#[derive(Clone, Debug, PartialEq)]
pub struct PodCount {
    /// The labels `pod` and `instance`; empty where there is none.
    pub pod: String,
    pub instance: String,
    pub count: Count,
}

/// What is to be counted by pod for one guard.
#[derive(Clone, Debug)]
pub struct ByPod<K> {
    pub guard: K,
    /// The selectors of the ratio.
    pub part: String,
    pub total: String,
    pub is_good: bool,
    pub policy: Arc<Policy>,
    /// How long ago the first bad reading was.
    pub since: Duration,
}

impl Pods {
    /// As the watches show them; nothing while a controller has not seen its newest generation.
    pub fn of(namespace: &str, spec: &GuardSpec, cluster: &Cluster) -> Option<Self> {
        let mut pods = Self::default();
        for target in spec.targets.iter().filter(|target| target.kind.is_workload()) {
            pods.add(namespace, target, cluster)?;
        }
        Some(pods)
    }

    fn add(&mut self, namespace: &str, target: &TargetRef, cluster: &Cluster) -> Option<()> {
        let workload = cluster.workload(namespace, target)?;
        if workload.rollout.observed < workload.rollout.generation {
            return None;
        }
        for (name, pod, new) in pods_of(namespace, &workload, cluster) {
            self.by_name.insert(name, new);
            self.by_address
                .extend(pod.address.clone().map(|address| (address, new)));
        }
        Some(())
    }

    /// Whether old and new ones are there.
    pub fn mixed(&self) -> bool {
        self.by_name.values().any(|new| *new) && self.by_name.values().any(|new| !*new)
    }

    /// Whether it is a new one: by the label `pod`, else by the address in `instance`.
    fn is_new(&self, one: &PodCount) -> Option<bool> {
        let address = || one.instance.rsplit_once(':').map(|(address, _)| address);
        let by_address = || self.by_address.get(address()?);
        self.by_name.get(&one.pod).or_else(by_address).copied()
    }

    /// What old and new ones counted. Pods that are not known belong to neither side.
    pub fn sides(&self, counted: &[PodCount]) -> Sides {
        let mut sides = Sides::default();
        for one in counted {
            match self.is_new(one) {
                Some(true) => sides.new = sides.new.plus(one.count),
                Some(false) => sides.old = sides.old.plus(one.count),
                None => {}
            }
        }
        sides
    }
}

/// A workload's pods, and whether each is of its newest revision: by the ReplicaSet that owns it, or by its own label.
pub fn pods_of(namespace: &str, workload: &Workload, cluster: &Cluster) -> Vec<(String, Arc<Pod>, bool)> {
    let sets: BTreeMap<String, bool> = cluster
        .revisions
        .matching(namespace, |set| set.owner == workload.uid)
        .into_iter()
        .map(|(_, set)| (set.uid.clone(), set.revision == workload.revision))
        .collect();
    let own = |pod: &Pod| pod.owner == workload.uid || sets.contains_key(&pod.owner);
    let pods = cluster.pods.matching(namespace, own).into_iter();
    let of_newest = |pod: &Pod| match sets.get(&pod.owner) {
        Some(newest) => *newest,
        None => pod.revision.is_some() && pod.revision == workload.revision,
    };
    pods.map(|(name, pod)| {
        let newest = of_newest(&pod);
        (name, pod, newest)
    })
    .collect()
}

/// How far back to count: from the first bad reading on, at least two scrapes, in whole scrapes, so that guards share their
/// queries. Not farther: what was healthy before would make old pods better than new ones, which were not there yet.
pub fn over(since: Duration, interval: Duration) -> Duration {
    let scrape = interval.as_millis().div_ceil(1000).max(1);
    let scrapes = since.as_millis().div_ceil(scrape * 1000).max(2);
    let seconds = u64::try_from(scrapes * scrape).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST)
}

/// Nothing farther back says more.
const LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(pod: &str, instance: &str, some: f64, all: f64) -> PodCount {
        PodCount {
            pod: pod.into(),
            instance: instance.into(),
            count: Count { some, all },
        }
    }

    #[test]
    fn a_pod_is_known_by_its_label_or_by_its_address_or_not_at_all() {
        let pods = Pods {
            by_name: BTreeMap::from([("old".to_owned(), false), ("new".to_owned(), true)]),
            by_address: BTreeMap::from([("10.0.0.1".to_owned(), false), ("fd00::2".to_owned(), true)]),
        };
        let sides = pods.sides(&[
            counted("old", "elsewhere:80", 1.0, 10.0),
            counted("", "10.0.0.1:8080", 2.0, 20.0),
            counted("new", "", 4.0, 40.0),
            counted("", "fd00::2:8080", 8.0, 80.0),
            counted("gone", "10.0.0.9:8080", 16.0, 160.0),
        ]);
        assert_eq!((sides.old.some, sides.old.all), (3.0, 30.0));
        assert_eq!((sides.new.some, sides.new.all), (12.0, 120.0));
        assert!(pods.mixed());
    }

    #[test]
    fn it_is_counted_since_the_first_bad_reading_in_whole_scrapes() {
        let seconds = |since, scrape| over(Duration::from_secs(since), Duration::from_secs(scrape)).as_secs();
        assert_eq!((seconds(1, 1), seconds(10, 1), seconds(10, 15)), (2, 10, 30));
        assert_eq!((seconds(40, 15), seconds(5000, 15)), (45, 600));
    }
}
