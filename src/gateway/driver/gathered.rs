//! Frames that are written together. Mostly it is one, which needs no list of its own.

use crate::protocol::frame::Frame;

/// Frames, in order.
#[derive(Default)]
pub(super) enum Gathered {
    #[default]
    None,
    One(Frame),
    Many(Vec<Frame>),
}

impl Gathered {
    /// Adds one at the end.
    pub(super) fn push(&mut self, frame: Frame) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(frame),
            Self::One(first) => Self::Many(vec![first, frame]),
            Self::Many(mut frames) => {
                frames.push(frame);
                Self::Many(frames)
            }
        };
    }

    /// All of them.
    pub(super) fn as_slice(&self) -> &[Frame] {
        match self {
            Self::None => &[],
            Self::One(frame) => std::slice::from_ref(frame),
            Self::Many(frames) => frames,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stay_in_the_order_they_came() {
        let mut gathered = Gathered::default();
        for many in 0..4 {
            let lens: Vec<_> = gathered.as_slice().iter().map(Frame::len).collect();
            assert_eq!(lens, (1..=many).collect::<Vec<_>>());
            gathered.push(Frame::new(&vec![b'x'; many + 1]));
        }
    }
}
