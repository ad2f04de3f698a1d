//! The order of SRV records (RFC 2782).

use rand::{Rng, RngExt};

use super::Srv;

/// By priority; among equals by a draw in which each has its weight's share.
pub(super) fn arrange(mut records: Vec<Srv>, random: &mut impl Rng) -> Vec<Srv> {
    // Within a priority those of weight 0 stand first, so that they have a small chance (RFC 2782, "Weight").
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut arranged = Vec::with_capacity(records.len());
    while let Some(first) = records.first() {
        let priority = first.priority;
        let group = || records.iter().take_while(|record| record.priority == priority);
        let total: u64 = group().map(|record| u64::from(record.weight)).sum();
        let drawn = random.random_range(0..=total);
        let mut sum = 0;
        let index = group().position(|record| {
            sum += u64::from(record.weight);
            sum >= drawn
        });
        arranged.push(records.remove(index.unwrap_or(0)));
    }
    arranged
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::ChaCha8Rng;

    fn srv(priority: u16, weight: u16, target: &str) -> Srv {
        Srv { priority, weight, port: 5060, target: target.to_owned() }
    }

    #[test]
    fn priority_decides_and_weight_is_a_share() {
        let records = vec![srv(20, 1000, "last"), srv(10, 60, "often"), srv(10, 20, "rare"), srv(10, 0, "hardly")];
        let mut random = ChaCha8Rng::from_seed([7; 32]);
        let mut first = std::collections::HashMap::new();
        for _ in 0..4000 {
            let arranged = arrange(records.clone(), &mut random);
            assert_eq!(arranged.len(), 4);
            assert_eq!(arranged[3].target, "last");
            *first.entry(arranged[0].target.clone()).or_insert(0) += 1;
        }
        // 60 : 20 of 81 draws, the one that is left goes to weight 0.
        assert!((2850..3080).contains(&first["often"]), "{first:?}");
        assert!((880..1100).contains(&first["rare"]), "{first:?}");
        assert!((20..90).contains(&first["hardly"]), "{first:?}");
    }
}
