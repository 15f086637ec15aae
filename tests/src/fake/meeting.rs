//! Where responses wait for each other, so that a test can have many under way at the same time and know it.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

/// Counts who has come. Every `count` of them go on together.
#[derive(Debug, Clone)]
pub(super) struct Meeting(Arc<watch::Sender<u32>>);

impl Default for Meeting {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Meeting {
    /// Comes to the meeting now; ready when the group of so many that this one belongs to is complete.
    pub(super) fn join(&self, count: u32) -> impl Future<Output = ()> + Send + use<> {
        let mut place = 0;
        self.0.send_modify(|come| {
            place = *come;
            *come += 1;
        });
        let complete = (place / count.max(1) + 1) * count.max(1);
        let mut come = self.0.subscribe();
        async move {
            // Fails only when the fake is gone, and everything with it.
            come.wait_for(|come| *come >= complete).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn every_group_waits_for_its_last() {
        let meeting = Meeting::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut poll =
            |future: &mut std::pin::Pin<&mut dyn Future<Output = ()>>| future.as_mut().poll(&mut context);
        let mut first: std::pin::Pin<&mut dyn Future<Output = ()>> = pin!(meeting.join(2));
        assert_eq!(poll(&mut first), Poll::Pending);
        let mut second: std::pin::Pin<&mut dyn Future<Output = ()>> = pin!(meeting.join(2));
        assert_eq!(poll(&mut second), Poll::Ready(()));
        assert_eq!(poll(&mut first), Poll::Ready(()));
        let mut third: std::pin::Pin<&mut dyn Future<Output = ()>> = pin!(meeting.join(2));
        assert_eq!(poll(&mut third), Poll::Pending, "of the next group");
    }
}
