//! Which refusals count as their pool's: those for want of an endpoint or of room, each once.

use super::{models::parts, *};

/// Refuses everybody, or finds nobody fit.
struct Refusing(Reason);

impl Policy for Refusing {
    fn decide(&mut self, _: &Round<'_>, _: &mut dyn Entropy) -> Decision {
        Decision::none(self.0)
    }
}

impl Rig {
    pub(super) fn refusals(&self) -> u64 {
        self.metric("pool=.=p;.;zerohop_refusals_total")
    }

    fn refusing(extra: &str, reason: Reason) -> Self {
        let rig = Self::new(extra);
        let mut worker = rig.root.worker().unwrap().borrow_mut();
        worker.use_policy(0, Box::new(Refusing(reason)));
        drop(worker);
        rig
    }
}

#[test]
fn want_of_an_endpoint_counts_whatever_its_kind() {
    for (reason, status) in [(Reason::Saturated, 429), (Reason::NoneEligible, 503)] {
        let rig = Rig::refusing("", reason);
        for count in 1..3 {
            let (context, _, flow) = rig.post(BODY, &[]);
            assert_eq!(
                (flow, rig.host.reply_of(context)),
                (Flow::Pause, Some(status))
            );
            assert_eq!(rig.refusals(), count, "{reason:?}");
        }
    }
    let rig = Rig::configured(r#"{"agent": {"cluster": "a"}, "pools": [{"name": "p"}]}"#);
    assert_eq!(rig.post(BODY, &[]).2, Flow::Continue);
    assert_eq!(rig.refusals(), 0, "the cluster's own choice is no refusal");
    rig.policy(parts("p", Vec::new()));
    let (context, ..) = rig.post(BODY, &[]);
    assert_eq!(
        (rig.host.reply_of(context), rig.refusals()),
        (Some(503), 1),
        "FailClose"
    );
}

#[test]
fn answers_about_models_and_decisions_in_the_shadow_do_not_count() {
    let rig = Rig::new(r#", "strict_model": true"#);
    let (context, ..) = rig.post(b"{}", &[]);
    assert_eq!((rig.host.reply_of(context), rig.refusals()), (Some(400), 0));
    let rig = Rig::new(r#", "models": {"unknown": "refuse"}"#);
    rig.policy(parts("p", Vec::new()));
    let (context, ..) = rig.post(BODY, &[]);
    assert_eq!((rig.host.reply_of(context), rig.refusals()), (Some(404), 0));
    let rig = Rig::refusing(r#", "shadow": true"#, Reason::Saturated);
    assert_eq!((rig.post(BODY, &[]).2, rig.refusals()), (Flow::Continue, 0));
}
