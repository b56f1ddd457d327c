//! The two profiles. The figures come from simulations of kills and of losses (`docs/failure-detection.md`).

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Config, PeriodicParams};

use crate::envelope::PAYLOAD_BYTES_MAX;

/// How soon a silent member is suspected and declared down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Probe period 200 ms, probe timeout 60 ms, suspicion 600 ms, gossip each 50 ms.
    Default,
    /// 100, 40, 500 and 25 ms: for up to 30 nodes on a local network.
    Fast,
}

/// All figures of the protocol, in the names of `foca`.
#[derive(Debug, Clone)]
pub struct SwimConfig {
    pub probe_period: Duration,
    pub probe_rtt: Duration,
    pub suspect_to_down_after: Duration,
    pub gossip_period: Duration,
    /// Members that each round of gossip goes to.
    pub gossip_members: usize,
    pub num_indirect_probes: usize,
    /// How often a change is passed on. `foca`'s own preset, 4·log10(N+1), loses changes under loss: its accused do not hear the accusation.
    pub max_transmissions: u8,
    pub announce_period: Duration,
    pub announce_to_down_period: Duration,
    /// Whether suspicion timers of members that have refuted are dropped. Only tests turn it off, to see what happens.
    pub suspect_guard: bool,
}

impl SwimConfig {
    pub fn of(profile: Profile) -> Self {
        let (period, rtt, suspicion, gossip) = match profile {
            Profile::Default => (200, 60, 600, 50),
            Profile::Fast => (100, 40, 500, 25),
        };
        Self {
            probe_period: Duration::from_millis(period),
            probe_rtt: Duration::from_millis(rtt),
            suspect_to_down_after: Duration::from_millis(suspicion),
            gossip_period: Duration::from_millis(gossip),
            gossip_members: 3,
            num_indirect_probes: 5,
            max_transmissions: 20,
            announce_period: Duration::from_secs(1),
            announce_to_down_period: Duration::from_secs(1),
            suspect_guard: true,
        }
    }

    pub(crate) fn to_foca(&self) -> Config {
        let count = |number: usize| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
        let periodic = |frequency: Duration, members: usize| {
            Some(PeriodicParams { frequency, num_members: count(members) })
        };
        Config {
            probe_period: self.probe_period,
            probe_rtt: self.probe_rtt,
            num_indirect_probes: count(self.num_indirect_probes),
            max_transmissions: NonZeroU8::new(self.max_transmissions).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: self.suspect_to_down_after,
            // The members are keyed by node id, so keeping those that are down costs a row per node ever seen.
            remove_down_after: Some(Duration::from_secs(24 * 3600)),
            max_packet_size: count(PAYLOAD_BYTES_MAX),
            notify_down_members: true,
            periodic_announce: periodic(self.announce_period, 1),
            periodic_announce_to_down_members: periodic(self.announce_to_down_period, 2),
            periodic_gossip: periodic(self.gossip_period, self.gossip_members),
        }
    }
}
