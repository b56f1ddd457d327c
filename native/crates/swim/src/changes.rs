//! What is told of members: the difference between what `foca` knows now and what was told last. `foca` itself says nothing of suspicions.

use std::collections::BTreeMap;

use foca::{Member, State};

use crate::events::{EventKind, MemberState, MemberView, Reason, SwimEvent};
use crate::identity::{Farewell, NodeIdentity};

/// Members as last told, by node id.
#[derive(Default)]
pub(crate) struct Told {
    members: BTreeMap<i32, MemberView>,
}

impl Told {
    pub(crate) fn members(&self) -> impl Iterator<Item = &MemberView> {
        self.members.values()
    }

    /// Compares with what is known now, this node excepted, and returns what has changed.
    pub(crate) fn update<'foca, Known>(
        &mut self,
        own_node_id: i32,
        at_ms: u64,
        known: impl Fn() -> Known,
    ) -> Vec<SwimEvent>
    where
        Known: Iterator<Item = &'foca Member<NodeIdentity>>,
    {
        let others = || known().filter(|member| member.id().node_id != own_node_id);
        let mut events = Vec::new();
        let mut count = 0;
        for member in others() {
            count += 1;
            let id = member.id();
            let view = MemberView {
                node_id: id.node_id,
                incarnation_id: id.incarnation_id,
                address: id.address,
                state: state_of(member),
            };
            let before = self.members.get(&id.node_id);
            if before != Some(&view) {
                compare(before, &view, at_ms, &mut events);
                self.members.insert(view.node_id, view);
            }
        }
        if count < self.members.len() {
            self.members
                .retain(|node_id, _| others().any(|member| member.id().node_id == *node_id));
        }
        events
    }
}

fn compare(
    before: Option<&MemberView>,
    view: &MemberView,
    at_ms: u64,
    events: &mut Vec<SwimEvent>,
) {
    let mut tell = |view: &MemberView, kind: EventKind, reason: Option<Reason>| {
        events.push(SwimEvent {
            kind,
            node_id: view.node_id,
            incarnation_id: view.incarnation_id,
            address: view.address,
            at_ms,
            reason,
        });
    };
    let mut previous = before.map(|before| before.state);
    if let Some(before) = before
        && before.incarnation_id != view.incarnation_id
    {
        if before.state.is_active() {
            tell(before, EventKind::Down, Some(Reason::Replaced));
        }
        previous = None;
    }
    let was_active = previous.is_some_and(MemberState::is_active);
    match view.state {
        MemberState::Alive if previous != Some(MemberState::Alive) => {
            tell(view, EventKind::Alive, None);
        }
        MemberState::Suspect => {
            if !was_active {
                tell(view, EventKind::Alive, None);
            }
            if previous != Some(MemberState::Suspect) {
                tell(view, EventKind::Suspect, None);
            }
        }
        MemberState::Down if was_active => tell(view, EventKind::Down, Some(Reason::Silent)),
        MemberState::Left(reason) if was_active => tell(view, EventKind::Left, Some(reason)),
        MemberState::Alive | MemberState::Down | MemberState::Left(_) => {}
    }
}

fn state_of(member: &Member<NodeIdentity>) -> MemberState {
    match (member.id().farewell, member.state()) {
        (Farewell::Left, _) => MemberState::Left(Reason::Left),
        (Farewell::Unhealthy, _) => MemberState::Left(Reason::Unhealthy),
        (Farewell::None, State::Alive) => MemberState::Alive,
        (Farewell::None, State::Suspect) => MemberState::Suspect,
        (Farewell::None, State::Down) => MemberState::Down,
    }
}
