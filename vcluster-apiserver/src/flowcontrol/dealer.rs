//! Shuffle sharding: which few of many queues a flow may use (k8s.io/apiserver `pkg/util/shufflesharding`).

/// The most cards a hand may have: more than 60 bits of entropy can deal from any deck of use.
const LARGEST_HAND: usize = 15;

/// Deals `hand` different cards out of `deck`, in the order of the deal, with `hash` as the source of entropy. A hand larger
/// than the deck is the whole deck.
pub fn deal(mut hash: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut remainders = [0_usize; LARGEST_HAND];
    let hand = hand.min(deck).min(LARGEST_HAND);
    for (dealt, remainder) in remainders.iter_mut().enumerate().take(hand) {
        let left = (deck - dealt) as u64;
        *remainder = (hash % left) as usize;
        hash /= left;
    }
    // A remainder counts among the cards that were left at its turn.
    let absolute = |dealt: usize| {
        let earlier = remainders[..dealt].iter().rev();
        earlier.fold(remainders[dealt], |card, before| if card >= *before { card + 1 } else { card })
    };
    (0..hand).map(absolute).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Upstream's cases: shufflesharding_test.go, TestShardingOfLargeDeck and its like, worked by hand.
    #[test]
    fn hands_are_upstreams() {
        for (hash, deck, hand, expected) in [
            (0, 128, 4, vec![0, 1, 2, 3]),
            (1, 128, 3, vec![1, 0, 2]),
            (u64::MAX, 1, 1, vec![0]),
            (127, 128, 2, vec![127, 0]),
            (128, 128, 2, vec![0, 2]),
            (5, 3, 7, vec![2, 1, 0]),
        ] {
            assert_eq!(deal(hash, deck, hand), expected, "{hash} {deck} {hand}");
        }
    }

    proptest! {
        #[test]
        fn a_hand_is_of_different_cards_of_the_deck(hash: u64, deck in 1_usize..1024, hand in 1_usize..10) {
            let mut cards = deal(hash, deck, hand);
            prop_assert_eq!(cards.len(), hand.min(deck));
            cards.sort_unstable();
            cards.dedup();
            prop_assert_eq!(cards.len(), hand.min(deck));
            prop_assert!(cards.iter().all(|card| *card < deck));
        }
    }
}
