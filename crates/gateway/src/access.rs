//! Who may do what: the decision that all doors share.
//!
//! The pool decides over grants. Lists that S3 and Swift keep are shown by their doors as they
//! came; what they say is made grants here, when somebody asks, so that one list is as good as
//! another at every door. What is refused is in the record of sharing.

use std::collections::BTreeMap;
use std::sync::Arc;

use archipelago_model::ObjectName;
use archipelago_pool::{
    Action, AuditEvent, Container, Decision, Error, ErrorKind, Grant, Layer, Object, Reason, Rules,
    Service, Shared, Subject, decide,
};

use crate::{s3, swift};

/// All grants that have to do with a container, of those of lists the ones that somebody is meant
/// with.
pub(crate) fn container_rules(
    service: &Service,
    subject: &Subject,
    container: &Container,
) -> Rules {
    let mut rules = service.container_rules(container, false);
    add(&mut rules, &Layer::Container, of_lists(subject, container));
    rules
}

/// What the lists of a container say of somebody.
fn of_lists(subject: &Subject, container: &Container) -> Vec<Grant> {
    let mut grants = s3::grants_of_bucket(container, subject);
    grants.extend(swift::grants_of(container, subject));
    grants
}

/// Puts more grants where there is a place for them.
fn add(rules: &mut Rules, at: &Layer, more: Vec<Grant>) {
    let here = rules.layers.iter_mut().find(|(layer, _)| layer == at);
    if let Some((_, grants)) = here {
        grants.extend(more);
    }
}

/// All grants that have to do with an object of a container, whether or not it is there.
pub(crate) fn object_rules(
    service: &Service,
    subject: &Subject,
    container: &Container,
    name: &ObjectName,
    object: Option<&Object>,
) -> Result<Rules, Error> {
    let mut rules = service.object_rules(container, name, object, false)?;
    add(&mut rules, &Layer::Container, of_lists(subject, container));
    if let Some(object) = object {
        let of_version = s3::grants_of_object(container, object, subject);
        add(&mut rules, &Layer::Version, of_version);
    }
    Ok(rules)
}

/// Whether somebody may do something with a container.
pub(crate) fn of_container(
    service: &Service,
    subject: &Subject,
    action: Action,
    container: &Container,
) -> Decision {
    decide(subject, action, &container_rules(service, subject, container))
}

/// Whether somebody may do something with an object, or with its name where there is none.
pub(crate) fn of_object(
    service: &Service,
    subject: &Subject,
    action: Action,
    (container, name): (&Container, &ObjectName),
    object: Option<&Object>,
) -> Result<Decision, Error> {
    if let Some(known) = of_role(service, subject, action, container, object) {
        return Ok(known);
    }
    Ok(decide(subject, action, &object_rules(service, subject, container, name, object)?))
}

/// Whether somebody may do something with each of some objects of a container.
pub(crate) fn of_page(
    service: &Service,
    subject: &Subject,
    action: Action,
    container: &Container,
    objects: &[&Object],
) -> Result<Vec<bool>, Error> {
    let of_writer = |object: &Object| container.writer_of(object).is_some();
    let role = of_role(service, subject, action, container, None).map(|known| known.allowed);
    if let Some(allowed) = role
        && !objects.iter().any(|object| of_writer(object))
    {
        return Ok(vec![allowed; objects.len()]);
    }
    let names: Vec<&ObjectName> = objects.iter().map(|object| &object.name).collect();
    let found = service.grants_of_names(container.id, &names)?;
    // What is below one folder has the grants of that.
    let mut known: BTreeMap<Option<Arc<str>>, bool> = BTreeMap::new();
    let mut out = Vec::with_capacity(objects.len());
    for (object, found) in objects.iter().zip(found) {
        let place = (container, &object.name);
        let alone =
            || of_object(service, subject, action, place, Some(object)).map(|one| one.allowed);
        match role {
            _ if of_writer(object) => {
                out.push(alone()?);
                continue;
            }
            Some(allowed) => {
                out.push(allowed);
                continue;
            }
            None => {}
        }
        let path = found.as_ref().map(|found| Arc::clone(&found.path));
        let by_name = match known.get(&path) {
            Some(known) => *known,
            None => {
                let mut rules = container_rules(service, subject, container);
                rules.of_container = false;
                if let Some(found) = found {
                    let layer = Layer::Path(found.path.to_string());
                    rules.layers.push((layer, (*found.grants).clone()));
                }
                let allowed = decide(subject, action, &rules).allowed;
                known.insert(path, allowed);
                allowed
            }
        };
        out.push((by_name && object.latest) || alone()?);
    }
    Ok(out)
}

/// What no grant changes: the owner's word, and that of a role that changes nothing.
pub(crate) fn of_role(
    service: &Service,
    subject: &Subject,
    action: Action,
    container: &Container,
    object: Option<&Object>,
) -> Option<Decision> {
    let rules = Rules {
        owner: container.account,
        writer: object.and_then(|object| container.writer_of(object)),
        of_container: false,
        layers: Vec::new(),
        ignores_public: false,
        now_ms: service.now_ms(),
    };
    let decision = decide(subject, action, &rules);
    (decision.reason != Reason::NotGranted).then_some(decision)
}

/// What the record calls whoever asks.
pub(crate) fn actor(subject: &Subject) -> String {
    match &subject.identity {
        Some(who) => who.user.name.to_string(),
        None => "anybody".to_owned(),
    }
}

/// Puts a refusal into the record. Of what does not exist nothing is recorded.
pub(crate) fn record_refusal(
    service: &Service,
    subject: &Subject,
    action: Action,
    shared: &Shared,
    why: &str,
) {
    match service.shared_name(shared) {
        Ok(name) => {
            let detail = format!("{}: {why}", action.name());
            service.audit_use(AuditEvent::Refused, &actor(subject), &name, &detail);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => tracing::warn!(%error, "a refusal is not in the record"),
    }
}
