//! Stories of a restart: the memory is filled from past readings and stands as if it had never been lost.

use jiff::Timestamp;

use super::timeline::{World, one_trigger, seconds, start, tell};
use crate::judge::{Context, Facts, Memory, recall};

impl World {
    /// The daemon is started anew: all that is left are the readings that Prometheus can give again.
    fn restart(&mut self, whole_since: Option<Timestamp>) {
        let facts = Facts::default();
        let context = Context {
            now: self.now,
            since: self.since,
            baseline: self.baseline.as_ref(),
            facts: &facts,
            rolled_out: true,
        };
        let mut memory = Memory::new(&self.policy);
        recall(&self.policy, &mut memory, &self.readings, whole_since, &context);
        self.memory = memory;
    }
}

#[test]
fn after_a_restart_windows_holds_and_clocks_stand_as_before() {
    let timelines = [
        ("", "40x 0/75 200ms"),
        ("", "20x 0/75 200ms; 2x 9/75 200ms"),
        ("", "20x 0/75 200ms; 3x ?; 5x 0/75 200ms; 2x ="),
        ("", "3x 0/2 200ms; 30x 0/1 210ms; 2/3 190ms"),
        ("", "10x 40/75 200ms; 9x 0/75 200ms"),
        (
            "triggers: [{name: t, condition: response_time > 250ms, action: alert_and_manual_review, for: 2m}]",
            "9x 0/75 200ms; 6x 0/75 300ms",
        ),
    ];
    for (spec, timeline) in timelines {
        let mut never = World::new(spec);
        never.play(timeline);
        let mut anew = World::new(spec);
        anew.play(timeline);
        anew.restart(Some(start()));
        for reading in ["0/75 200ms", "30/75 300ms", "30/75 300ms", "0/75 200ms"] {
            assert_eq!(tell(&never.read(reading)), tell(&anew.read(reading)), "{timeline}");
            let clocks = |world: &World| {
                let quiet = world
                    .policy
                    .triggers
                    .iter()
                    .map(|rule| world.memory.quiet_for(&rule.name));
                let quiet: Vec<_> = quiet.collect();
                let memory = &world.memory;
                (
                    memory.healthy_for(),
                    memory.all_quiet_for(),
                    memory.requests_since_change(),
                    quiet,
                )
            };
            assert_eq!(clocks(&never), clocks(&anew), "{timeline}");
            assert_eq!(
                never.memory.baseline(&never.policy),
                anew.memory.baseline(&anew.policy),
                "{timeline}"
            );
        }
    }
}

#[test]
fn what_was_read_from_the_past_alone_makes_nothing_fire_and_shows_no_clock() {
    let mut world = one_trigger("error_rate > 5%", "for: 10s");
    let before = world.play("8x 0/75; 4x 40/75");
    assert!(before.contains("FIRES"), "{before}");
    world.restart(Some(start()));
    let verdict = world.judge(None);
    assert_eq!(verdict.action(), None);
    assert!(
        tell(&verdict).contains("so it was when modosu was started"),
        "{}",
        tell(&verdict)
    );
    // An answer without new data is no reading that agrees.
    assert_eq!(world.read("=").action(), None);
    assert!(
        tell(&world.read("40/75")).contains("FIRES"),
        "and the first that has new data makes it fire at once"
    );

    let mut quiet = World::new("");
    quiet.play("30x 0/75 200ms");
    quiet.restart(Some(start()));
    assert_eq!(
        (
            seconds(quiet.memory.healthy_for()),
            seconds(quiet.memory.all_quiet_for())
        ),
        (0, 0)
    );
    quiet.read("0/75 200ms");
    assert_eq!(seconds(quiet.memory.healthy_for()), 450);
}

#[test]
fn healthy_time_of_the_past_counts_only_from_when_all_is_known_to_be_rolled_out() {
    for (whole_since, healthy) in [(None, 0), (Some(super::timeline::plus(start(), 300)), 150)] {
        let mut world = World::new("");
        world.play("30x 0/75 200ms");
        world.restart(whole_since);
        world.read("0/75 200ms");
        assert_eq!(seconds(world.memory.healthy_for()), healthy);
        assert_eq!(seconds(world.memory.all_quiet_for()), 450);
    }
}
