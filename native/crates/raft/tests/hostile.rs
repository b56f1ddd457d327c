//! Bytes that no member would send: refused with a code, counted, and nothing is disturbed. Messages that carry a right checksum and lie
//! may stop the node that gets them, and never the process.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use sluice_raft::{MemberChange, Node, NodeOptions, Random, Refusal, Role, Store};

fn options(id: i64) -> NodeOptions {
    NodeOptions {
        id,
        voters: vec![0, 1, 2],
        learners: Vec::new(),
        election_ticks: 10,
        heartbeat_ticks: 2,
        seed: 5,
        max_frame_bytes: 1 << 20,
        first_snapshot: None,
        acknowledge_early: false,
    }
}

struct Cluster {
    nodes: Vec<Node>,
    /// Everything that was ever sent: recipient and bytes.
    sent: Vec<(usize, Vec<u8>)>,
}

impl Cluster {
    fn new() -> Self {
        let node = |id| Node::open(options(id), Store::memory()).unwrap();
        Self { nodes: (0..3).map(node).collect(), sent: Vec::new() }
    }

    fn pump(&mut self) {
        loop {
            let mut sent = Vec::new();
            for node in &mut self.nodes {
                while let Some(ready) = node.ready() {
                    sent.extend(ready.messages);
                }
                if node.needs_persist() {
                    let outcome = node.begin_persist().unwrap().run();
                    node.end_persist(outcome).unwrap();
                    sent.extend(node.persisted().messages);
                }
            }
            if sent.is_empty() && !self.nodes.iter().any(Node::needs_persist) {
                return;
            }
            for (to, bytes) in sent {
                // The learner that is added does not exist.
                if let Some(node) = self.nodes.get_mut(to as usize) {
                    let _ = node.step(&bytes, None);
                    self.sent.push((to as usize, bytes));
                }
            }
        }
    }

    fn work(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for node in &mut self.nodes {
                node.tick();
            }
            self.pump();
        }
    }

    fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.status().role == Role::Leader)
    }

    /// A cluster at work, with all kinds of messages sent.
    fn busy() -> Self {
        let mut cluster = Self::new();
        cluster.work(60);
        let leader = cluster.leader().unwrap();
        for number in 0..30u64 {
            cluster.nodes[leader].propose(&number.to_be_bytes()).unwrap();
            cluster.work(1);
        }
        cluster.nodes[leader].propose_members(&[MemberChange::AddLearner(7)]).unwrap();
        cluster.work(5);
        let applied = cluster.nodes[leader].status().applied;
        assert!(cluster.nodes[leader].snapshot(applied, b"image"));
        cluster.work(20);
        cluster
    }
}

/// The checksum made right again.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() >= 5 {
        let crc = sluice_log::batch::crc32c(&bytes[5..]);
        bytes[1..5].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

#[test]
fn each_refusal_has_its_code_and_is_counted() {
    let mut cluster = Cluster::busy();
    let leader = cluster.leader().unwrap();
    let (to, good) = cluster.sent.iter().rev().find(|(to, _)| *to != leader).cloned().unwrap();
    let node = &mut cluster.nodes[to];
    let before = node.status();
    assert_eq!(node.step(&good, Some(leader as i64)), Ok(()));
    assert_eq!(node.step(&vec![1; (1 << 20) + 1], None), Err(Refusal::TooLarge));
    assert_eq!(node.step(&[], None), Err(Refusal::Malformed));
    assert_eq!(node.step(&good[..good.len() - 1], None), Err(Refusal::Malformed));
    assert_eq!(node.step(&good, Some(8)), Err(Refusal::UnknownMember));
    // A group, which the decoder would recurse into, however deep.
    let deep = sealed([vec![1, 0, 0, 0, 0], vec![0x0b; 500_000]].concat());
    assert_eq!(node.step(&deep, None), Err(Refusal::Malformed));
    // Two bytes an entry: 400,000 of them.
    let many = sealed([vec![1, 0, 0, 0, 0], [0x3a, 0x00].repeat(400_000)].concat());
    assert_eq!(node.step(&many, None), Err(Refusal::TooLarge));
    // A proposal (type 2) from another member.
    let proposal = sealed(vec![1, 0, 0, 0, 0, 0x08, 2, 0x10, to as u8 + 1, 0x18, 1, 0x20, 9]);
    assert_eq!(node.step(&proposal, None), Err(Refusal::Forbidden));
    // A heartbeat (8) of term 9 that knows entry 5000 to be on our disk.
    let head =
        [vec![1, 0, 0, 0, 0, 0x08, 8, 0x10, to as u8 + 1, 0x18, leader as u8 + 1], vec![0x20]]
            .concat();
    let lie = sealed([head.clone(), vec![9, 0x40, 0x88, 0x27]].concat());
    assert_eq!(node.step(&lie, None), Err(Refusal::Contradiction));
    // The same from a node that nobody knows.
    let mut stranger = lie.clone();
    stranger[10] = 50;
    assert_eq!(node.step(&sealed(stranger), None), Err(Refusal::UnknownMember));
    let other = (0..3).find(|id| *id != to && *id != leader).unwrap();
    assert_eq!(cluster.nodes[other].step(&good, None), Err(Refusal::WrongRecipient));
    let after = cluster.nodes[to].status();
    assert_eq!((after.term, after.commit, after.role), (before.term, before.commit, before.role));
    assert_eq!(after.refused, [0, 2, 3, 2, 0, 1, 1, 0, 0]);
    cluster.work(30);
    assert_eq!(cluster.leader(), Some(leader), "nothing was disturbed");
}

/// A granted vote (6), or a granted promise of one (18).
fn grant(kind: u8, to: usize, from: usize, term: u64) -> Vec<u8> {
    let ids = [0x10, to as u8 + 1, 0x18, from as u8 + 1];
    sealed([vec![1, 0, 0, 0, 0, 0x08, kind], ids.to_vec(), vec![0x20, term as u8]].concat())
}

fn persist(node: &mut Node) -> Vec<(i64, Vec<u8>)> {
    let outcome = node.begin_persist().unwrap().run();
    node.end_persist(outcome).unwrap();
    node.persisted().messages
}

/// The crate panics where a node becomes leader with a log that is not on its disk. It cannot, as long as nobody votes who was not asked:
/// nobody is asked before the log is on disk, and a promise that comes late, for an election before, only makes a candidate.
#[test]
fn nobody_is_elected_before_the_log_is_on_disk() {
    let mut cluster = Cluster::busy();
    let leader = cluster.leader().unwrap();
    let to = (leader + 1) % 3;
    cluster.nodes[leader].propose(b"not on disk").unwrap();
    let sent = cluster.nodes[leader].ready().unwrap().messages;
    let (_, append) = sent.into_iter().find(|(id, _)| *id == to as i64).unwrap();
    let node = &mut cluster.nodes[to];
    node.step(&append, None).unwrap();
    assert!(node.ready().unwrap().messages.is_empty() && node.needs_persist());
    node.campaign();
    let term = node.status().term;
    assert!(node.ready().unwrap().messages.is_empty(), "no promise is asked for yet");
    assert_eq!(node.step(&grant(18, to, leader, term + 1), None), Ok(()));
    assert!(node.ready().unwrap().messages.is_empty(), "no vote is asked for yet");
    let status = node.status();
    assert_eq!((status.role, status.term), (Role::Candidate, term + 1));
    assert!(status.persisted < status.last_index);
    assert_eq!(node.step(&grant(6, to, leader, term + 1), None), Err(Refusal::Contradiction));
    assert_eq!(node.status().role, Role::Candidate);
    assert!(!persist(node).is_empty(), "now the votes are asked for");
    assert_eq!(node.step(&grant(6, to, leader, term + 1), None), Ok(()));
    assert_eq!((node.status().role, node.poison()), (Role::Leader, None));
}

#[test]
fn random_and_changed_bytes_disturb_nothing() {
    let mut cluster = Cluster::busy();
    let leader = cluster.leader().unwrap();
    let before = cluster.nodes[leader].status();
    let mut random = Random::new(3);
    let sent = cluster.sent.clone();
    for _ in 0..20_000 {
        let (to, mut bytes) = sent[random.below(sent.len() as u64) as usize].clone();
        match random.below(4) {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => bytes = (0..random.below(80)).map(|_| random.next_u64() as u8).collect(),
            _ => {
                for _ in 0..=random.below(3) {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 + random.below(255) as u8;
                }
            }
        }
        if !sent.contains(&(to, bytes.clone())) {
            assert_eq!(cluster.nodes[to].step(&bytes, None), Err(Refusal::Malformed));
        }
    }
    cluster.work(30);
    let after = cluster.nodes[leader].status();
    assert_eq!((after.term, after.role, after.commit), (before.term, before.role, before.commit));
}

/// With a right checksum such bytes come from a member that lies. Whatever it does to the node, the call returns.
#[test]
fn lies_never_take_the_process_down() {
    let mut poisoned = 0;
    for seed in 0..60 {
        let mut cluster = Cluster::busy();
        let mut random = Random::new(seed);
        let sent = cluster.sent.clone();
        for _ in 0..80 {
            let (to, mut bytes) = sent[random.below(sent.len() as u64) as usize].clone();
            let at = 5 + random.below(bytes.len() as u64 - 5) as usize;
            bytes[at] = match random.below(3) {
                0 => random.next_u64() as u8,
                1 => bytes[at].wrapping_add(1),
                _ => bytes[at] ^ (1 << random.below(8)),
            };
            let node = &mut cluster.nodes[to];
            let _ = node.step(&sealed(bytes), None);
            node.tick();
            while node.ready().is_some() {}
            if node.needs_persist()
                && let Ok(write) = node.begin_persist()
            {
                let outcome = write.run();
                let _ = node.end_persist(outcome);
                node.persisted();
            }
        }
        poisoned += cluster.nodes.iter().filter(|node| node.poison().is_some()).count();
        for node in &mut cluster.nodes {
            let status = node.status();
            assert_eq!(node.tick(), status.poison.is_none());
            if status.poison.is_some() {
                assert_eq!(node.step(&sent[0].1, None), Err(Refusal::Poisoned));
                assert!(node.ready().is_none());
            }
        }
    }
    println!("{poisoned} nodes stopped");
}
