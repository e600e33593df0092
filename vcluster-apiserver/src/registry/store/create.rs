//! Creation: wipe what clients may not set, mutating admission, name, strategy, validating admission, commit.

use super::{ATTEMPTS, Outcome, Store, storage_status, timestamp};
use crate::admission::Operation;
use crate::backend::{Transaction, unsealed};
use crate::registry::metadata;
use crate::registry::model::{Model, Tracking};
use crate::registry::resource::Target;
use crate::request::RequestCx;
use crate::request::options::WriteOptions;
use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{GroupResource, Object, Status};
use serde_json::Value;
use std::sync::Arc;
use storage::{Check, Write};

/// Upstream's `maxNameGenerationCreateAttempts`.
const NAMES: usize = 8;
/// `generateName` is cut so that the suffix fits into a DNS label.
const BASE: usize = 58;

impl Store {
    /// Creates `object`, which comes decoded and with static defaults, in the form of the served version.
    pub async fn create(
        &self,
        cx: &RequestCx,
        target: &Target,
        object: Object,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        self.create_tracked(cx, target, object, options, true).await
    }

    /// As [`Store::create`]; `track`: whether `managedFields` still have to be told of it.
    pub(super) async fn create_tracked(
        &self,
        cx: &RequestCx,
        target: &Target,
        mut object: Object,
        options: &WriteOptions,
        track: bool,
    ) -> Result<Outcome, Status> {
        place(&mut object, target)?;
        // The store looks at it, which a dry run does not reach; what is no number counts as none.
        if !options.dry_run && object.resource_version().parse::<u64>().is_ok_and(|version| version > 0) {
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        wipe(&mut object);
        self.settle(target, &mut object);
        if track {
            Self::track(target, None, &mut object, &self.tracking(target, options));
        }
        let attributes = Self::attributes(target, Operation::Create, object.name(), options.dry_run, None);
        self.admit(cx, &attributes, &mut object).await?;
        target.resource.strategy.default(&mut object);

        let generated = object.name().is_empty() && !object.meta_str("generateName").is_empty();
        let mut last = None;
        for _ in 0..if generated { NAMES } else { 1 } {
            // The object itself goes where no other try can follow.
            let mut attempt = if generated { object.clone() } else { std::mem::take(&mut object) };
            if generated {
                let base = object.meta_str("generateName");
                let end = base.char_indices().map(|(i, _)| i).chain([base.len()]).take_while(|i| *i <= BASE).last();
                attempt.set_meta_str("name", &format!("{}{}", &base[..end.unwrap_or(0)], self.rng.name_suffix()));
            }
            match self.create_named(cx, target, attempt, options).await {
                Err(status) if generated && status.reason == "AlreadyExists" => last = Some(status),
                answer => return answer,
            }
        }
        let mut status = last.unwrap_or_else(|| Status::internal("no name was generated"));
        status.message =
            format!("{}, the server was not able to generate a unique name for the object", status.message);
        Err(status.retry_after(1))
    }

    /// What `managedFields` records about this write.
    pub fn tracking(&self, target: &Target, options: &WriteOptions) -> Tracking {
        Tracking {
            manager: options.field_manager.clone(),
            api_version: target.resource.kind.api_version(),
            subresource: target.subresource.clone(),
            resets: target.resets(),
            time: timestamp(self.clock.now()),
        }
    }

    /// Records a plain write in `managedFields`, whose fields are those of the served version.
    pub(super) fn track(target: &Target, live: Option<&Object>, object: &mut Object, tracking: &Tracking) {
        let model = &target.resource.model;
        let Some(conversion) = target.resource.stored.conversion else {
            return model.track_update(live, object, tracking);
        };
        let served = |object: &Object| {
            let mut served = object.clone();
            conversion.to_served(&mut served, &target.resource.kind);
            // What the served version always has, the stored one may leave out.
            model.normalize(&mut served).ok().map(|_| served)
        };
        let Some(mut shown) = served(object) else { return };
        model.track_update(live.and_then(served).as_ref(), &mut shown, tracking);
        match shown.metadata_mut().remove("managedFields") {
            Some(managers) => object.metadata_mut().insert("managedFields".to_owned(), managers),
            None => object.metadata_mut().remove("managedFields"),
        };
    }

    /// Turns a served object into the stored form and lets the strategy fill its defaults.
    pub(super) fn settle(&self, target: &Target, object: &mut Object) {
        let stored = &target.resource.stored;
        if let Some(conversion) = stored.conversion {
            conversion.to_stored(object, &stored.kind);
        } else {
            object.set_gvk(&stored.kind);
        }
        target.resource.strategy.default(object);
        target.resource.strategy.stamp(object, None, &timestamp(self.clock.now()));
    }

    /// The fields of the form in which the target's objects are stored.
    pub(super) fn stored_model(target: &Target) -> Arc<dyn Model> {
        let stored = &target.resource.stored;
        match stored.conversion {
            Some(_) => crate::registry::builtin::model(&stored.kind),
            None => target.resource.model.clone(),
        }
    }

    /// Writes out what upstream's types always have (an empty `status`, `replicas: 0`) after admission and strategy had
    /// their way with the object.
    pub(super) fn canonical(target: &Target, object: &mut Object) -> Result<(), Status> {
        let result = Self::stored_model(target).normalize(object);
        result.map(|_| ()).map_err(|why| Status::bad_request(format!("{}: {why}", target.resource.kind.kind)))
    }

    /// Upstream writes every object, even of a dry run, and reads it again: what got lost has its defaults once more.
    pub(super) fn reread(target: &Target, object: &mut Object) {
        let model = Self::stored_model(target);
        if model.forget_empties(object) {
            target.resource.strategy.default(object);
            model.default(object);
        }
    }

    async fn create_named(
        &self,
        cx: &RequestCx,
        target: &Target,
        object: Object,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let target = Target { name: object.name().to_owned(), ..target.clone() };
        for _ in 0..ATTEMPTS {
            let mut object = object.clone();
            let refused = self.disallowed(&target, &object, None).await?;
            self.before_create(cx, &target, &mut object, refused)?;
            // Some kinds name themselves.
            let target = Target { name: object.name().to_owned(), ..target.clone() };
            let mut transaction = Transaction::default();
            let attributes = Self::attributes(&target, Operation::Create, &target.name, options.dry_run, None);
            self.approve(cx, &attributes, &object, &mut transaction).await?;
            Self::reread(&target, &mut object);
            let key = target.key();
            let existing = self.backend.storage.get(&key).await.map_err(|e| storage_status(&e, &target))?;
            if let Some(existing) = existing {
                return Err(already_exists(&target, super::tree(&existing).is_ok_and(|o| o.is_terminating())));
            }
            let service = Self::is_service(&target);
            if service {
                let reserved = self
                    .addresses
                    .reserve(cx, &self.backend, &mut object, None, options.dry_run, &mut transaction)
                    .await;
                reserved?;
            }
            if options.dry_run {
                return Ok(Outcome { body: Self::rehearsed(&object), created: true });
            }
            let body = unsealed(&object);
            let write = Write::Put(key.clone(), body.clone());
            match self.commit(&target, Check::Absent(key), write, transaction).await {
                Ok(Some(revision)) => return Ok(Outcome { body: body.seal(revision), created: true }),
                Ok(None) => {
                    if service {
                        self.addresses.release(&self.backend, &object, None).await;
                    }
                }
                Err(status) => {
                    if service {
                        self.addresses.release(&self.backend, &object, None).await;
                    }
                    return Err(status);
                }
            }
        }
        Err(Status::conflict(&target.resource.group_resource(), &target.name, "too many concurrent changes"))
    }

    /// What the object's namespace would have to allow and does not.
    pub(super) async fn disallowed(
        &self,
        target: &Target,
        new: &Object,
        old: Option<&Object>,
    ) -> Result<ErrorList, Status> {
        let Some(needed) = target.resource.strategy.needs_namespace_label(new, old) else {
            return Ok(ErrorList::new());
        };
        let namespaces = GroupResource::new("", "namespaces");
        let namespace = self.backend.object(&namespaces, "", &target.namespace).await;
        let namespace = namespace.map_err(|error| storage_status(&error, target))?;
        let labelled = namespace.is_some_and(|namespace| namespace.label(needed.key) == Some("true"));
        let why = format!("{} requires the `{}: true` label on the containing namespace", needed.allows, needed.key);
        Ok(if labelled { ErrorList::new() } else { vec![FieldError::forbidden(&needed.path, why)] })
    }

    /// Upstream's `rest.BeforeCreate`; `errors` were found before.
    fn before_create(
        &self,
        cx: &RequestCx,
        target: &Target,
        object: &mut Object,
        mut errors: ErrorList,
    ) -> Result<(), Status> {
        let resource = &target.resource;
        object.set_meta_str("uid", &self.rng.uuid());
        object.set_meta_str("creationTimestamp", &timestamp(self.clock.now()));
        place(object, target)?;
        if resource.has_status() && !resource.strategy.keeps_status_on_create() {
            object.as_map_mut().insert("status".to_owned(), Value::Object(serde_json::Map::new()));
        }
        if resource.strategy.has_generation() {
            object.metadata_mut().insert("generation".into(), 1.into());
        }
        resource.strategy.prepare_create(object);
        resource.strategy.prepare_create_as(object, &cx.user);
        resource.strategy.forget(object);
        Self::canonical(target, object)?;
        errors.extend(resource.strategy.validate_create(object));
        if errors.is_empty() || !resource.strategy.metadata_comes_last() {
            let mut all = metadata::validate(object, resource.namespaced, resource.strategy.name_rule());
            all.extend(metadata::validate_finalizer_names(object, &resource.gvr.group));
            all.append(&mut errors);
            errors = all;
        }
        metadata::once(&mut errors);
        if !errors.is_empty() {
            return Err(Status::invalid(&resource.stored.kind, object.name(), &errors));
        }
        for warning in resource.strategy.warnings(object, None) {
            cx.warn(warning);
        }
        Ok(())
    }
}

/// Puts an object without a namespace into that of the request; 400 for one of another namespace.
pub fn place(object: &mut Object, target: &Target) -> Result<(), Status> {
    let expected = if target.resource.namespaced { target.namespace.as_str() } else { "" };
    let given = object.namespace();
    if given == expected {
        return Ok(());
    }
    if given.is_empty() || expected.is_empty() {
        object.set_meta_str("namespace", expected);
        return Ok(());
    }
    Err(Status::bad_request("the namespace of the provided object does not match the namespace sent on the request"))
}

/// Upstream's `WipeObjectMetaSystemFields`.
pub fn wipe(object: &mut Object) {
    let metadata = object.metadata_mut();
    for field in ["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        metadata.remove(field);
    }
    metadata.retain(|_, value| !matches!(value, Value::Null));
}

fn already_exists(target: &Target, terminating: bool) -> Status {
    let mut status = Status::already_exists(&target.resource.group_resource(), &target.name);
    if terminating {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}
