//! The machine among others of its kind: joining, dying, refuting, leaving, coming back; and each rule of its driver seen to matter.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod world;

use std::time::Duration;

use sluice_swim::machine::{Membership, Presence};
use sluice_swim::{
    EventKind, MemberState, Output, Profile, Reason, Refusal, SwimConfig, SwimCore, SwimEvent,
};
use world::{Loss, World, WorldOptions, address, measure_false_downs, measure_kills, quantile_ms};

const SECOND: Duration = Duration::from_secs(1);

fn joined(nodes: usize) -> World {
    let mut world = World::new(WorldOptions { nodes, ..WorldOptions::default() });
    world.run_until_joined();
    world.run_for(SECOND);
    world.said.clear();
    world
}

/// Kinds told by one node of another, in order.
fn told(world: &World, by: usize, of: usize) -> Vec<(EventKind, Option<Reason>)> {
    world
        .said
        .iter()
        .filter(|said| said.by == by && said.event.node_id == of as i32)
        .map(|said| (said.event.kind, said.event.reason))
        .collect()
}

#[test]
fn three_nodes_find_each_other_and_say_so_once() {
    let mut world = World::new(WorldOptions::default());
    let took = world.run_until_joined();
    assert!(took <= SECOND, "{took:?}");
    world.run_for(10 * SECOND);
    for by in 0..3 {
        for of in (0..3).filter(|of| *of != by) {
            assert_eq!(told(&world, by, of), [(EventKind::Alive, None)]);
        }
    }
}

#[test]
fn a_killed_node_is_suspected_and_then_down() {
    let mut world = joined(3);
    world.kill(2);
    world.run_for(3 * SECOND);
    for by in 0..2 {
        let events = told(&world, by, 2);
        assert_eq!(events.last(), Some(&(EventKind::Down, Some(Reason::Silent))));
        assert_eq!(world.state_at(by, 2), Some(MemberState::Down));
    }
    assert!(world.said.iter().any(|said| said.event.kind == EventKind::Suspect));
    assert_eq!(world.rejoins(), 0);
}

#[test]
fn a_suspect_that_lives_refutes() {
    let mut world = joined(3);
    // Nobody hears node 2 for long enough to be suspected, too short to be condemned.
    world.cut.extend([(2, 0), (2, 1)]);
    while !world.said.iter().any(|said| said.event.kind == EventKind::Suspect) {
        world.run_for(Duration::from_millis(5));
    }
    world.cut.clear();
    world.run_for(3 * SECOND);
    for by in 0..2 {
        let events = told(&world, by, 2);
        assert!(events.iter().all(|event| event.0 != EventKind::Down), "{events:?}");
        assert_eq!(world.state_at(by, 2), Some(MemberState::Alive));
    }
    assert_eq!(world.rejoins(), 0);
}

#[test]
fn a_condemned_node_that_lives_comes_back_with_the_same_incarnation() {
    let mut world = joined(3);
    world.cut.extend([(2, 0), (2, 1), (0, 2), (1, 2)]);
    world.run_for(4 * SECOND);
    assert_eq!(world.state_at(0, 2), Some(MemberState::Down));
    assert_eq!(world.state_at(2, 0), Some(MemberState::Down));
    world.cut.clear();
    world.said.clear();
    let took = world.run_until_joined();
    assert!(took < 3 * SECOND, "{took:?}");
    assert_eq!(told(&world, 0, 2), [(EventKind::Alive, None)]);
}

#[test]
fn a_node_that_leaves_is_told_apart_from_one_that_dies() {
    let mut world = joined(5);
    world.with(4, SwimCore::leave);
    world.run_for(Duration::from_millis(200));
    assert_eq!(world.nodes[4].core.presence(), Presence::Gone);
    world.kill(4);
    world.run_for(3 * SECOND);
    for by in 0..4 {
        assert_eq!(told(&world, by, 4), [(EventKind::Left, Some(Reason::Left))]);
    }
}

#[test]
fn an_unhealthy_node_leaves_answers_nothing_and_returns() {
    let mut world = joined(3);
    world.with(1, |core, now| core.set_healthy(now, false));
    world.run_for(SECOND);
    assert_eq!(told(&world, 0, 1), [(EventKind::Left, Some(Reason::Unhealthy))]);
    let sent = world.nodes[1].core.counters().packets_sent;
    world.run_for(5 * SECOND);
    assert_eq!(world.nodes[1].core.counters().packets_sent, sent);
    assert_eq!(world.state_at(0, 1), Some(MemberState::Left(Reason::Unhealthy)));
    world.said.clear();
    world.with(1, |core, now| core.set_healthy(now, true));
    world.run_for(2 * SECOND);
    assert_eq!(told(&world, 0, 1), [(EventKind::Alive, None)]);
    assert!(world.is_joined());
    assert_eq!(world.rejoins(), 0);
}

#[test]
fn a_restart_within_the_suspicion_replaces_the_old_incarnation() {
    let mut world = joined(3);
    let old = world.nodes[2].incarnation_id;
    world.kill(2);
    world.run_for(Duration::from_millis(100));
    world.restart(2);
    world.run_for(2 * SECOND);
    assert!(world.is_joined());
    for by in 0..2 {
        let ends: Vec<&SwimEvent> = world
            .said
            .iter()
            .filter(|said| said.by == by && said.event.node_id == 2)
            .map(|said| &said.event)
            .filter(|event| event.kind != EventKind::Suspect)
            .collect();
        assert_eq!(ends.len(), 2, "{ends:?}");
        assert_eq!((ends[0].kind, ends[0].reason), (EventKind::Down, Some(Reason::Replaced)));
        assert_eq!(ends[0].incarnation_id, old);
        assert_eq!(ends[1].kind, EventKind::Alive);
        assert_eq!(ends[1].incarnation_id, world.nodes[2].incarnation_id);
    }
}

#[test]
fn a_restart_after_death_is_seen() {
    let mut world = joined(3);
    world.kill(2);
    world.run_for(5 * SECOND);
    world.restart(2);
    let took = world.run_until_joined();
    assert!(took < 2 * SECOND, "{took:?}");
}

#[test]
fn a_restart_with_the_clock_set_back_is_seen_once_the_last_life_is_down() {
    for back_ms in [1, 60_000, 200_000] {
        let mut world = joined(3);
        world.kill(2);
        world.run_for(Duration::from_millis(50));
        world.restart_with_clock(2, back_ms + 10_000);
        let took = world.run_until_joined();
        assert!(took < 5 * SECOND, "{took:?}");
        world.run_for(5 * SECOND);
        assert!(world.is_joined());
        let rejoins = world.nodes[2].core.counters().rejoins;
        assert!(rejoins < 20, "{rejoins} renewals: a storm");
    }
}

#[test]
fn two_nodes_that_both_restart_find_each_other() {
    let mut world = joined(2);
    world.kill(0);
    world.kill(1);
    world.run_for(5 * SECOND);
    world.restart(0);
    world.restart(1);
    let took = world.run_until_joined();
    assert!(took < 2 * SECOND, "{took:?}");
}

#[test]
fn two_nodes_find_each_other_after_total_silence() {
    let mut world = joined(2);
    world.cut.extend([(0, 1), (1, 0)]);
    world.run_for(30 * SECOND);
    assert_eq!(world.state_at(0, 1), Some(MemberState::Down));
    assert_eq!(world.state_at(1, 0), Some(MemberState::Down));
    world.cut.clear();
    let took = world.run_until_joined();
    assert!(took < 3 * SECOND, "{took:?}");
}

#[test]
fn two_halves_become_one_again() {
    let mut world = joined(6);
    for one in 0..3 {
        for other in 3..6 {
            world.cut.extend([(one, other), (other, one)]);
        }
    }
    world.run_for(20 * SECOND);
    assert_eq!(world.state_at(0, 5), Some(MemberState::Down));
    world.cut.clear();
    let took = world.run_until_joined();
    assert!(took < 15 * SECOND, "{took:?}");
}

#[test]
fn a_duplicate_node_id_makes_no_storm() {
    let mut world = joined(4);
    // A second process with node id 2, at the address of node 3, whose own process it takes the place of.
    let now = world.now();
    world.kill(3);
    world.nodes[3].core = SwimCore::new(
        Membership {
            node_id: 2,
            incarnation_id: [0xee; 16],
            cluster_id: "simulated".to_owned(),
            secret: b"secret".to_vec(),
            address: address(3),
            seeds: vec![address(0), address(1)],
        },
        world.options.config.clone(),
        77,
        now,
    );
    world.nodes[3].is_up = true;
    let before: u64 = world.nodes.iter().map(|node| node.core.counters().packets_sent).sum();
    world.with(3, SwimCore::handle_timer);
    world.run_for(20 * SECOND);
    let after: u64 = world.nodes.iter().map(|node| node.core.counters().packets_sent).sum();
    let each_second = (after - before) / 20;
    assert!(each_second < 400, "{each_second} packets a second");
    assert!(world.duplicates > 0, "one has heard of the other");
    // The later process has the name while it runs, and the first has it back afterwards.
    let has_name = |world: &World| {
        let mut members = world.nodes[0].core.members();
        members
            .find(|member| member.node_id == 2)
            .map(|member| (member.incarnation_id, member.state))
    };
    assert_eq!(has_name(&world), Some(([0xee; 16], MemberState::Alive)));
    world.kill(3);
    world.run_for(8 * SECOND);
    assert_eq!(has_name(&world), Some((world.nodes[2].incarnation_id, MemberState::Alive)));
}

#[test]
fn a_node_outside_the_seeds_is_found_by_all() {
    let mut world = World::new(WorldOptions { nodes: 8, ..WorldOptions::default() });
    let took = world.run_until_joined();
    assert!(took < 3 * SECOND, "{took:?}");
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let trace = |seed: u64| {
        let options = WorldOptions {
            nodes: 4,
            loss: Loss::Independent(0.2),
            seed,
            ..WorldOptions::default()
        };
        let mut world = World::new(options);
        world.run_for(20 * SECOND);
        (world.trace, world.bytes_sent)
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}

/// Rule 1: without it, healthy nodes give up their identities under loss; with it, none does.
#[test]
fn the_guard_of_refuted_suspects_matters() {
    let options = |suspect_guard: bool| WorldOptions {
        nodes: 5,
        loss: Loss::Independent(0.1),
        config: SwimConfig { suspect_guard, ..SwimConfig::of(Profile::Default) },
        ..WorldOptions::default()
    };
    let with = measure_false_downs(&options(true), 120 * SECOND);
    let without = measure_false_downs(&options(false), 120 * SECOND);
    assert_eq!((with.rejoins, with.reports), (0, 0));
    assert!(with.guarded_timers > 0);
    assert!(without.rejoins > 0, "{without:?}");
}

/// The table of `docs/failure-detection.md`, small: kills are seen by every member within the times given there.
#[test]
fn kills_are_seen_in_time() {
    for (profile, first_p50_max, every_max) in
        [(Profile::Default, 1100, 2500), (Profile::Fast, 750, 1500)]
    {
        for (nodes, loss) in [(3, 0.0), (5, 0.1), (10, 0.2)] {
            let options = WorldOptions {
                nodes,
                loss: Loss::Independent(loss),
                config: SwimConfig::of(profile),
                seed: 7,
                pause: None,
            };
            let detection = measure_kills(&options, 12);
            assert_eq!(detection.missed, 0, "{options:?}");
            let first = quantile_ms(&detection.first, 0.5);
            let every = quantile_ms(&detection.every, 1.0);
            assert!(first <= first_p50_max, "{profile:?} N={nodes}: first p50 {first} ms");
            assert!(every <= every_max, "{profile:?} N={nodes}: every max {every} ms");
        }
    }
}

/// A pause of less than the suspicion is no death.
#[test]
fn short_pauses_are_tolerated() {
    let options = WorldOptions {
        nodes: 5,
        loss: Loss::Independent(0.01),
        pause: Some(Duration::from_millis(300)),
        ..WorldOptions::default()
    };
    let result = measure_false_downs(&options, 60 * SECOND);
    assert_eq!(result.rejoins, 0, "{result:?}");
}

mod hostile {
    use proptest::prelude::*;

    use super::*;
    use sluice_swim::Now;
    use sluice_swim::envelope::Envelope;

    const WALL_MS: u64 = 1_700_000_000_000;

    fn machine() -> SwimCore {
        let membership = Membership {
            node_id: 1,
            incarnation_id: [1; 16],
            cluster_id: "c".to_owned(),
            secret: b"s".to_vec(),
            address: address(1),
            seeds: vec![],
        };
        SwimCore::new(membership, SwimConfig::of(Profile::Fast), 1, now(0))
    }

    fn now(ms: u64) -> Now {
        Now { elapsed: Duration::from_millis(ms), wall_ms: WALL_MS + ms }
    }

    fn sealed(payload: &[u8]) -> Vec<u8> {
        Envelope::new("c", b"s", 2, [2; 16], WALL_MS).seal(WALL_MS, payload)
    }

    #[test]
    fn garbage_in_a_right_envelope_is_counted_and_told_once_in_a_while() {
        let mut core = machine();
        let mut envelope = Envelope::new("c", b"s", 2, [2; 16], WALL_MS);
        for ms in 0..1000 {
            let packet = envelope.seal(WALL_MS, &[3; 40]);
            core.handle_packet(now(ms * 21), &packet, address(2));
        }
        assert_eq!(core.counters().refused.get(&Refusal::Garbage), Some(&1000));
        let notices: Vec<u64> = core
            .poll_outputs()
            .into_iter()
            .map(|output| match output {
                Output::Refused(notice) => notice.count,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(notices.len(), 3);
        assert_eq!(notices[0], 1);
    }

    #[test]
    fn a_name_in_the_message_other_than_on_the_envelope_is_refused() {
        // A real packet of node 0 in an envelope of node 2.
        let mut world = World::new(WorldOptions { nodes: 2, ..WorldOptions::default() });
        let mut payload = None;
        world.with(0, |core, now| {
            core.handle_timer(now);
            for output in core.poll_outputs() {
                if let Output::Packet { bytes, .. } = output {
                    payload = Some(bytes[57..bytes.len() - 16].to_vec());
                }
            }
        });
        let mut core = machine();
        core.handle_packet(now(0), &sealed(&payload.unwrap()), address(2));
        assert_eq!(core.counters().refused.get(&Refusal::Garbage), Some(&1));
        assert_eq!(core.members().count(), 0);
    }

    #[test]
    fn another_process_with_our_node_id_is_refused() {
        let mut core = machine();
        let packet = Envelope::new("c", b"s", 1, [9; 16], WALL_MS).seal(WALL_MS, &[7]);
        core.handle_packet(now(0), &packet, address(3));
        assert_eq!(core.counters().refused.get(&Refusal::DuplicateNode), Some(&1));
        let echo = Envelope::new("c", b"s", 1, [1; 16], WALL_MS).seal(WALL_MS, &[7]);
        core.handle_packet(now(0), &echo, address(1));
        assert_eq!(core.counters().refused.values().sum::<u64>(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Any bytes, with and without the right envelope, with timers in between: nothing panics, nobody is believed to be there.
        #[test]
        fn any_bytes(packets in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300), 0_u64..500), 1..12)) {
            let mut core = machine();
            let mut elapsed = 0;
            let mut envelope = Envelope::new("c", b"s", 2, [2; 16], WALL_MS);
            for (is_sealed, bytes, step) in packets {
                elapsed += step;
                let packet = if is_sealed { envelope.seal(WALL_MS, &bytes) } else { bytes };
                core.handle_packet(now(elapsed), &packet, address(2));
                core.handle_timer(now(elapsed));
                core.poll_outputs();
            }
            prop_assert_eq!(core.members().count(), 0);
        }

        /// Real messages with some bytes changed, sealed anew: what an insider with a defect sends.
        #[test]
        fn damaged_messages(seed in any::<u64>(), changes in prop::collection::vec((0_usize..400, any::<u8>()), 0..4), cut in 0_usize..200) {
            let mut world = World::new(WorldOptions { nodes: 3, seed, ..WorldOptions::default() });
            world.run_for(Duration::from_secs(1));
            let mut payloads = Vec::new();
            for _ in 0..20 {
                let deadline = world.nodes[0].core.next_deadline();
                world.with(0, |core, mut now| {
                    now.elapsed = deadline;
                    core.handle_timer(now);
                    for output in core.poll_outputs() {
                        if let Output::Packet { bytes, .. } = output {
                            payloads.push(bytes[57..bytes.len() - 16].to_vec());
                        }
                    }
                });
            }
            let wall_ms = world.now().wall_ms;
            let mut incarnation_id = [0; 16];
            incarnation_id.copy_from_slice(&world.nodes[0].incarnation_id);
            let mut envelope = Envelope::new("simulated", b"secret", 0, incarnation_id, wall_ms + 1000);
            for mut payload in payloads {
                for (at, byte) in &changes {
                    let length = payload.len();
                    if let Some(place) = payload.get_mut(at % length) {
                        *place = *byte;
                    }
                }
                payload.truncate(payload.len().saturating_sub(cut % 7));
                let packet = envelope.seal(wall_ms, &payload);
                world.with(1, |core, now| {
                    core.handle_packet(now, &packet, address(0));
                    core.handle_timer(now);
                    core.poll_outputs();
                });
            }
        }
    }
}
