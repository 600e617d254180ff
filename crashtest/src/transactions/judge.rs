//! Whether each transaction could have run alone at its place in the order of commits.

use super::history::{End, Over, State};
use super::order::Order;
use kv_engine::Isolation;

/// What is wrong with a transaction.
pub(super) fn judge(order: &Order, over: &Over) -> Option<String> {
    if over.snapshot < over.acknowledged {
        let (snapshot, acknowledged) = (over.snapshot, over.acknowledged);
        return Some(format!("it saw {snapshot}; {acknowledged} was acknowledged before it began"));
    }
    // Every transaction sees one state, whatever becomes of it.
    if let Some(text) = over.differs(&order.state(over.snapshot)) {
        return Some(format!("its snapshot is of {}: {text}", over.snapshot));
    }
    match over.end {
        End::Committed(Some(seq)) => committed(order, over, seq),
        End::Committed(None) => {
            let idle = over.writes().is_empty();
            (!idle).then(|| "it wrote, and its commit has no sequence number".to_owned())
        }
        End::Conflict | End::RolledBack => {
            let mut logged = order.commits.values().flatten().filter_map(|(_, value)| *value);
            let writes = over.writes();
            let lost: Vec<u64> = writes.values().filter_map(|value| *value).collect();
            let found = logged.find(|value| lost.contains(value))?;
            Some(format!("it was not committed, and its value {found} is in the log"))
        }
    }
}

fn committed(order: &Order, over: &Over, seq: u64) -> Option<String> {
    let writes = over.writes();
    if order.commits.get(&seq) != Some(&writes) {
        return Some(format!("it wrote {writes:?}; commit {seq} is {:?}", order.commits.get(&seq)));
    }
    let before = seq - 1;
    for key in writes.keys() {
        let (since, _) = order.version(*key, before);
        if since > over.snapshot {
            let text = format!("{key:?}, which it wrote, was changed by {since}");
            return Some(format!("between its snapshot {} and {seq} {text}", over.snapshot));
        }
    }
    if over.isolation == Isolation::Snapshot {
        return None;
    }
    let state: State = order.state(before);
    let text = over.differs(&state)?;
    Some(format!("it saw {} and was committed as {seq}, over which {text}", over.snapshot))
}
