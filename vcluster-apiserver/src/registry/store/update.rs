//! Update and patch: one closure `(live) -> new` and everything behind it, run again whenever another writer was faster.

use super::create::{place, wipe};
use super::{ATTEMPTS, Outcome, Store, storage_status, timestamp, tree};
use crate::admission::Operation;
use crate::backend::{Transaction, unsealed};
use crate::registry::metadata;
use crate::registry::resource::Target;
use crate::registry::subresource::facet;
use crate::request::RequestCx;
use crate::request::options::WriteOptions;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{GroupVersionKind, Object, Status};
use serde_json::Value;
use storage::{Check, Revision, Stored, Write};

/// What a request wants of an object. It must be repeatable: it runs once per attempt.
pub trait Change: Send + Sync {
    /// The new object, in the served version, normalized and with static defaults. `live` is none when the object is
    /// missing, which only happens to changes that [`Change::may_create`].
    fn apply(&self, live: Option<&Object>) -> Result<Object, Status>;

    /// The uid that the live object must have.
    fn uid(&self) -> Option<&str> {
        None
    }

    /// Whether a missing object is created: server-side apply.
    fn may_create(&self) -> bool {
        false
    }

    /// The subresource that `managedFields` name for the change, where it is not the target's own: scale.
    fn through(&self) -> Option<&'static str> {
        None
    }

    /// Whether `managedFields` were already brought up to date by the change itself: server-side apply.
    fn tracks_itself(&self) -> bool {
        false
    }
}

impl Store {
    /// Applies a change to the live object of `target`, or creates it where change or kind allow that.
    pub async fn update(
        &self,
        cx: &RequestCx,
        target: &Target,
        change: &dyn Change,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let key = target.key();
        for _ in 0..ATTEMPTS {
            let live = self.backend.storage.get(&key).await.map_err(|e| storage_status(&e, target))?;
            let done = match live {
                Some(live) => self.update_live(cx, target, &live, change, options).await?,
                None => self.create_on_update(cx, target, change, options).await?,
            };
            if let Some(outcome) = done {
                return Ok(outcome);
            }
        }
        Err(Status::modified(&target.resource.group_resource(), &target.name))
    }

    /// Applies a change of the server's own, which neither admission nor strategy have a say in: binding, the spending of
    /// a disruption budget. Answers the new revision; none for a dry run.
    pub async fn update_quietly(
        &self,
        target: &Target,
        change: &dyn Change,
        dry_run: bool,
    ) -> Result<Option<Revision>, Status> {
        let key = target.key();
        for _ in 0..ATTEMPTS {
            let live = self.backend.storage.get(&key).await.map_err(|e| storage_status(&e, target))?;
            let live = live.ok_or_else(|| Status::not_found(&target.resource.group_resource(), &target.name))?;
            let new = change.apply(Some(&tree(&live)?))?;
            if dry_run {
                return Ok(None);
            }
            let write = Write::Put(key.clone(), unsealed(&new));
            let check = Check::At(key.clone(), live.revision);
            if let Some(revision) = self.commit(target, check, write, Transaction::default()).await? {
                return Ok(Some(revision));
            }
        }
        Err(Status::modified(&target.resource.group_resource(), &target.name))
    }

    async fn create_on_update(
        &self,
        cx: &RequestCx,
        target: &Target,
        change: &dyn Change,
        options: &WriteOptions,
    ) -> Result<Option<Outcome>, Status> {
        let resource = target.resource.group_resource();
        let allowed = target.subresource.is_empty()
            && (change.may_create() || target.resource.strategy.allows_create_on_update());
        if !allowed {
            return Err(Status::not_found(&resource, &target.name));
        }
        if let Some(uid) = change.uid() {
            let why = if change.may_create() {
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found")
            } else {
                format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ")
            };
            return Err(Status::conflict(&resource, &target.name, why));
        }
        let mut object = change.apply(None)?;
        object.set_meta_str("name", &target.name);
        object.metadata_mut().remove("resourceVersion");
        if change.tracks_itself() {
            place(&mut object, target)?;
            wipe(&mut object);
        }
        match self.create_tracked(cx, target, object, options, !change.tracks_itself()).await {
            // Created by somebody else in between: it is an update after all.
            Err(status) if status.reason == "AlreadyExists" && !status.message.starts_with("object is") => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// One attempt on a live object; none when another writer was faster.
    async fn update_live(
        &self,
        cx: &RequestCx,
        target: &Target,
        stored: &Stored,
        change: &dyn Change,
        options: &WriteOptions,
    ) -> Result<Option<Outcome>, Status> {
        let resource = &target.resource;
        let live = tree(stored)?;
        if let Some(uid) = change.uid().filter(|uid| *uid != live.uid()) {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {}", live.uid());
            return Err(Status::conflict(&resource.group_resource(), &target.name, why));
        }
        let mut shown = live.clone();
        if let Some(conversion) = resource.stored.conversion {
            conversion.to_served(&mut shown, &resource.kind);
            resource.model.normalize(&mut shown).map_err(Status::internal)?;
        }
        let mut new = change.apply(Some(&shown))?;
        check_identity(&new, target)?;
        self.settle(target, &mut new);
        if !change.tracks_itself() {
            let mut tracking = self.tracking(target, options);
            if let Some(subresource) = change.through() {
                subresource.clone_into(&mut tracking.subresource);
                // Upstream looks for the time among the entries of before, where there is none.
                tracking.time.clear();
            }
            Self::track(target, Some(&live), &mut new, &tracking);
        }
        let attributes = Self::attributes(target, Operation::Update, &target.name, options.dry_run, Some(live.clone()));
        self.admit(cx, &attributes, &mut new).await?;
        resource.strategy.default(&mut new);
        Self::check_version(target, &mut new, stored)?;
        let refused = match target.subresource.as_str() {
            "status" => self.disallowed(target, &new, Some(&live)).await?,
            _ => ErrorList::new(),
        };
        self.before_update(cx, target, &mut new, &live, refused)?;
        let mut transaction = Transaction::default();
        self.approve(cx, &attributes, &new, &mut transaction).await?;
        Self::reread(target, &mut new);
        if same(&new, &live) && transaction.writes.is_empty() {
            return Ok(Some(Outcome { body: stored.body.clone(), created: false }));
        }
        let removed = target.resource.finishes_deletion(&new, &live);
        let service = Self::is_service(target);
        if service && !removed {
            let backend = &self.backend;
            self.addresses.reserve(cx, backend, &mut new, Some(&live), options.dry_run, &mut transaction).await?;
        }
        if options.dry_run {
            return Ok(Some(Outcome { body: Self::rehearsed(&new), created: false }));
        }
        let key = target.key();
        let body = unsealed(&new);
        let write =
            if removed { Write::Delete(key.clone(), body.clone()) } else { Write::Put(key.clone(), body.clone()) };
        let committed = self.commit(target, Check::At(key, stored.revision), write, transaction).await;
        if service {
            match &committed {
                Ok(Some(_)) => self.addresses.release(&self.backend, &live, (!removed).then_some(&new)).await,
                _ => self.addresses.release(&self.backend, &new, Some(&live)).await,
            }
        }
        Ok(committed?.map(|revision| Outcome { body: body.seal(revision), created: false }))
    }

    /// The client's resourceVersion against the live one; the live one where the kind allows to leave it out.
    fn check_version(target: &Target, new: &mut Object, stored: &Stored) -> Result<(), Status> {
        let resource = &target.resource;
        let current = stored.revision.to_string();
        let given = new.resource_version();
        if given == current {
            return Ok(());
        }
        if !matches!(given, "" | "0") {
            if given.parse::<u64>().is_err() {
                // The bare error of the parser, to which nobody upstream gives a code.
                return Err(crate::api::error::untyped(format!(
                    "strconv.ParseUint: parsing \"{given}\": invalid syntax"
                )));
            }
            return Err(Status::modified(&resource.group_resource(), &target.name));
        }
        if !resource.strategy.allows_unconditional_update() {
            let path = Path::new("metadata").child("resourceVersion");
            let error = FieldError::invalid(&path, 0, "must be specified for an update");
            let kind = GroupVersionKind::new(&*resource.gvr.group, &*resource.gvr.version, &*resource.gvr.resource);
            return Err(Status::invalid(&kind, &target.name, &[error]));
        }
        new.set_meta_str("resourceVersion", &current);
        Ok(())
    }

    /// Upstream's `rest.BeforeUpdate`, for the resource itself and for those subresources that show it; `refused` was found
    /// before.
    fn before_update(
        &self,
        cx: &RequestCx,
        target: &Target,
        new: &mut Object,
        old: &Object,
        refused: ErrorList,
    ) -> Result<(), Status> {
        let resource = &target.resource;
        let strategy = &resource.strategy;
        place(new, target)?;
        keep(new, old, "generation");
        let model = Self::stored_model(target);
        if !strategy.counts_empties() {
            model.align_empties(new, old);
        }
        match target.subresource.as_str() {
            "" => {
                if resource.has_status() {
                    restore(new, old, "status");
                }
                strategy.prepare_update(new, old);
                strategy.stamp(new, Some(old), &timestamp(self.clock.now()));
                if strategy.has_generation() && strategy.desired_changed(new, old) {
                    new.metadata_mut().insert("generation".into(), (old.generation() + 1).into());
                }
                strategy.forget(new);
            }
            "status" => {
                facet::keep_only_status(new, old);
                for field in strategy.status_keeps() {
                    keep(new, old, field);
                }
                strategy.prepare_status_update(new, old);
            }
            other => {
                facet::keep_only(other, new, old);
                strategy.prepare_subresource_update(other, new, old);
                if strategy.has_generation() && strategy.desired_changed(new, old) {
                    new.metadata_mut().insert("generation".into(), (old.generation() + 1).into());
                }
            }
        }
        if new.uid().is_empty() {
            keep(new, old, "uid");
        }
        keep(new, old, "creationTimestamp");
        if old.is_terminating() {
            keep(new, old, "deletionTimestamp");
        }
        if new.at(&["metadata", "deletionGracePeriodSeconds"]).is_none_or(Value::is_null) {
            keep(new, old, "deletionGracePeriodSeconds");
        }
        model.align_empties(new, old);
        Self::canonical(target, new)?;
        let mut errors = metadata::validate(new, resource.namespaced, strategy.name_rule());
        errors.extend(refused);
        errors.extend(metadata::validate_update(new, old));
        errors.extend(metadata::validate_finalizer_names(new, &resource.gvr.group));
        errors.extend(match target.subresource.as_str() {
            "" => strategy.validate_update(new, old),
            "status" => strategy.validate_status_update(new, old),
            other => strategy.validate_subresource_update(other, new, old),
        });
        metadata::once(&mut errors);
        if !errors.is_empty() {
            return Err(Status::invalid(&resource.stored.kind, &target.name, &errors));
        }
        if target.subresource.is_empty() {
            for warning in strategy.warnings(new, Some(old)) {
                cx.warn(warning);
            }
        }
        Ok(())
    }
}

fn check_identity(new: &Object, target: &Target) -> Result<(), Status> {
    if !new.name().is_empty() && new.name() != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            new.name(),
            target.name
        )));
    }
    Ok(())
}

/// Sets a metadata field to what it was.
fn keep(new: &mut Object, old: &Object, field: &str) {
    match old.metadata().and_then(|m| m.get(field)) {
        Some(value) => new.metadata_mut().insert(field.to_owned(), value.clone()),
        None => new.metadata_mut().remove(field),
    };
}

fn restore(new: &mut Object, old: &Object, field: &str) {
    match old.as_map().get(field) {
        Some(value) => new.as_map_mut().insert(field.to_owned(), value.clone()),
        None => new.as_map_mut().remove(field),
    };
}

/// Whether nothing changed, `managedFields` times aside: then no revision is spent.
fn same(new: &Object, old: &Object) -> bool {
    let stripped = |object: &Object| {
        let mut map = object.as_map().clone();
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
            for entry in metadata.get_mut("managedFields").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(entry) = entry.as_object_mut() {
                    entry.remove("time");
                }
            }
            metadata.retain(|_, value| !value.is_null());
        }
        map.retain(|_, value| !value.is_null());
        map
    };
    stripped(new) == stripped(old)
}
