//! What is over within a moment is seen by two scrapes: nobody is rolled back for it, and what lasts is acted on all the same.

use super::timeline::World;

#[test]
fn a_moment_that_two_scrapes_see_is_waited_for() {
    let mut world = World::new("");
    let told = world.play("8x 0/75; 25/75; 25/75; 8x 0/75");
    assert!(!told.contains("error rate rose FIRES"), "{told}");
    assert!(told.contains("two readings alone say so"), "{told}");
}

#[test]
fn what_lasts_for_a_third_reading_is_acted_on() {
    let mut world = World::new("");
    let told = world.play("8x 0/75; 3x 25/75");
    assert!(
        told.contains("165 s  25/75          Breached") && told.contains("error rate rose FIRES"),
        "{told}"
    );
}

#[test]
fn whoever_wants_the_first_sure_reading_gets_it() {
    let mut world = super::timeline::one_trigger("error_rate > 5%", "for: 0s");
    let told = world.play("8x 0/75; 40/75");
    assert!(told.contains("t FIRES"), "{told}");
}
