//! Groups by their names.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Bound;

use crate::group::ids::GroupId;

/// A map from group to `V`, sorted by a hash of the names and then by the names.
///
/// A look-up reads one name, the one it looks for, where a map that is sorted by names reads some ten on its way: a coordinator of many
/// groups hears of each every few seconds, and finds none of them in a cache. Names that were chosen to have one hash cost
/// what they would cost in a sorted map, so the hash needs no secret, and a replay meets the same order.
#[derive(Clone, Debug)]
pub(super) struct ByName<V>(BTreeMap<(u64, GroupId), Box<V>>);

impl<V> ByName<V> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: &GroupId) -> Option<&V> {
        self.0.get(&key(id)).map(|value| &**value)
    }

    pub(super) fn get_mut(&mut self, id: &GroupId) -> Option<&mut V> {
        self.0.get_mut(&key(id)).map(|value| &mut **value)
    }

    pub(super) fn contains_key(&self, id: &GroupId) -> bool {
        self.0.contains_key(&key(id))
    }

    pub(super) fn insert(&mut self, id: GroupId, value: V) {
        self.0.insert(key(&id), Box::new(value));
    }

    pub(super) fn remove(&mut self, id: &GroupId) {
        self.0.remove(&key(id));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&GroupId, &V)> {
        self.0.iter().map(|((_, id), value)| (id, &**value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&GroupId, &mut V)> {
        self.0.iter_mut().map(|((_, id), value)| (id, &mut **value))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().map(|value| &**value)
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = V> {
        self.0.into_values().map(|value| *value)
    }

    /// Those behind one of them in the map's order, whether that is still there or not; without one, all.
    pub(super) fn after(&self, id: Option<&GroupId>) -> impl Iterator<Item = (&GroupId, &V)> + use<'_, V> {
        let start = id.map_or(Bound::Unbounded, |id| Bound::Excluded(key(id)));
        self.0.range((start, Bound::Unbounded)).map(|((_, id), value)| (id, &**value))
    }
}

fn key(id: &GroupId) -> (u64, GroupId) {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    (hasher.finish(), id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_stops_and_goes_on_meets_each_once_whatever_is_removed_meanwhile() {
        let mut map = ByName::new();
        for n in 0..100 {
            map.insert(GroupId::from(format!("group {n}").as_str()), n);
        }
        map.insert(GroupId::from("group 7"), 7);
        assert_eq!(map.len(), 100);
        let mut met = Vec::new();
        let mut last: Option<GroupId> = None;
        loop {
            let three: Vec<_> = map.after(last.as_ref()).take(3).map(|(id, n)| (id.clone(), *n)).collect();
            let Some((id, _)) = three.last() else { break };
            map.remove(id);
            last = Some(id.clone());
            met.extend(three);
        }
        met.sort_by_key(|(_, n)| *n);
        let all = (0..100).map(|n| (GroupId::from(format!("group {n}").as_str()), n));
        assert_eq!(met, all.collect::<Vec<_>>());
        assert_eq!((map.len(), map.contains_key(&met[0].0)), (66, map.get(&met[0].0).is_some()));
    }
}
