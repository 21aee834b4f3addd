//! The buckets of a fleet's rollouts: the files in an object store, the rollouts in a key-value
//! bucket.

use std::{collections::HashMap, time::Duration};

use async_nats::{
    Client,
    jetstream::{
        self,
        kv::{self, Operation},
        object_store::{self, ObjectInfo, ObjectMetadata, ObjectStore},
        stream::{self, Stream},
    },
};

use super::{
    error::RolloutError,
    state::Rollout,
    version::{LARGEST, Version},
};

/// The key of an object's signature in its metadata.
const SIGNATURE: &str = "signature";

/// The longest signature, in bytes. One of minisign has about 300.
const LONGEST_SIGNATURE: usize = 16 << 10;

/// The longest time of one request to JetStream, which may be one for a part of a file.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The operations that fail while JetStream is away.
pub const STORE: &str = "store the object";
const FETCH: &str = "fetch the object";

/// The operation that fails for an object that is not as it should be.
pub const TRUST: &str = "trust the object";

/// The buckets of a fleet's rollouts.
#[derive(Clone)]
pub struct Store {
    rollouts: kv::Store,
    /// `None` on a host that takes no plugins.
    plugins: Option<Plugins>,
}

/// The object store of the files.
#[derive(Clone)]
struct Plugins {
    objects: ObjectStore,
    /// The stream that holds the objects' parts.
    parts: Stream,
}

/// The result of a change by compare-and-set.
pub enum Changed {
    /// The entry has this revision now.
    To(u64),
    /// Another host was first; its change is about to arrive.
    ByAnother,
}

impl Store {
    /// Opens the buckets, and makes those that are missing.
    ///
    /// # Errors
    /// JetStream is off, is away, or does not allow it.
    pub async fn open(client: &Client, fleet: &str, takes: bool) -> Result<Self, RolloutError> {
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(TIMEOUT);
        let bucket = format!("dropin_{fleet}_rollouts");
        // One that an operator has made with other settings is used as it is.
        let rollouts = match jetstream.get_key_value(&bucket).await {
            Ok(rollouts) => rollouts,
            Err(_) => {
                jetstream.create_stream(bucket_stream(&bucket)).await.map_err(away)?;
                jetstream.get_key_value(&bucket).await.map_err(away)?
            }
        };
        if !takes {
            return Ok(Self { rollouts, plugins: None });
        }
        let bucket = format!("dropin_{fleet}_plugins");
        let config = object_store::Config {
            bucket: bucket.clone(),
            description: Some("Dropin plugins with their signatures".to_owned()),
            ..object_store::Config::default()
        };
        let objects = match jetstream.get_object_store(&bucket).await {
            Ok(objects) => objects,
            Err(_) => jetstream.create_object_store(config).await.map_err(away)?,
        };
        let parts = jetstream.get_stream(format!("OBJ_{bucket}")).await.map_err(away)?;
        if !parts.cached_info().config.allow_direct {
            let cause = format!("its stream OBJ_{bucket} lacks the setting allow_direct");
            return Err(RolloutError::Away(cause));
        }
        Ok(Self { rollouts, plugins: Some(Plugins { objects, parts }) })
    }

    /// Watches all rollouts: their present state, then each change.
    ///
    /// # Errors
    /// JetStream is away.
    pub async fn watch(&self) -> Result<kv::Watch, RolloutError> {
        self.rollouts.watch_with_history(">").await.map_err(away)
    }

    /// Returns true if there are no rollouts.
    ///
    /// # Errors
    /// JetStream is away.
    pub async fn is_empty(&self) -> Result<bool, RolloutError> {
        Ok(self.rollouts.status().await.map_err(away)?.values() == 0)
    }

    /// Reads a rollout, with its revision.
    ///
    /// # Errors
    /// JetStream is away.
    pub async fn get(&self, key: &str) -> Result<Option<(Rollout, u64)>, RolloutError> {
        let entry = self.rollouts.entry(key).await.map_err(away)?;
        let entry = entry.filter(|entry| entry.operation == Operation::Put);
        Ok(entry.and_then(|entry| {
            serde_json::from_slice(&entry.value).ok().map(|rollout| (rollout, entry.revision))
        }))
    }

    /// Changes a rollout that still has this revision; `None`: that does not exist yet.
    ///
    /// # Errors
    /// JetStream is away.
    pub async fn change(
        &self,
        key: &str,
        rollout: &Rollout,
        revision: Option<u64>,
    ) -> Result<Changed, RolloutError> {
        // Text and numbers always have a form in JSON.
        let value = serde_json::to_vec(rollout).unwrap_or_default().into();
        match revision {
            Some(revision) => match self.rollouts.update(key, value, revision).await {
                Ok(revision) => Ok(Changed::To(revision)),
                Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => {
                    Ok(Changed::ByAnother)
                }
                Err(error) => Err(away(error)),
            },
            None => match self.rollouts.create(key, value).await {
                Ok(revision) => Ok(Changed::To(revision)),
                Err(error) if error.kind() == kv::CreateErrorKind::AlreadyExists => {
                    Ok(Changed::ByAnother)
                }
                Err(error) => Err(away(error)),
            },
        }
    }

    /// Removes a rollout that still has this revision. Returns false if another host was first.
    ///
    /// # Errors
    /// JetStream is away.
    pub async fn forget(&self, key: &str, revision: u64) -> Result<bool, RolloutError> {
        match self.rollouts.delete_expect_revision(key, Some(revision)).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => Ok(false),
            Err(error) => Err(away(error)),
        }
    }

    /// Returns the signature of a stored version. It is not verified.
    ///
    /// # Errors
    /// JetStream is away, or there is no such object of this size.
    pub async fn signature(&self, version: &Version) -> Result<String, RolloutError> {
        Ok(self.info(version).await?.metadata.get(SIGNATURE).cloned().unwrap_or_default())
    }

    /// Returns the facts about the object of a version.
    async fn info(&self, version: &Version) -> Result<ObjectInfo, RolloutError> {
        let plugins = self.plugins.as_ref().ok_or(RolloutError::NoKey)?;
        let failed = failed(FETCH, &version.id);
        let info = plugins.objects.info(&version.id).await.map_err(|error| failed(&error))?;
        if info.deleted {
            return Err(failed(&"it has been removed"));
        }
        if info.size != version.size || info.size > LARGEST {
            let problem = "its size is not that of the rollout; push the file again";
            return Err(distrust(version, problem));
        }
        Ok(info)
    }

    /// Stores the file of a version, with its signature.
    ///
    /// # Errors
    /// JetStream is away, or has no room.
    pub async fn put(
        &self,
        version: &Version,
        content: &[u8],
        signature: &str,
    ) -> Result<(), RolloutError> {
        let plugins = self.plugins.as_ref().ok_or(RolloutError::NoKey)?;
        let metadata = [
            ("plugin", version.plugin.as_str()),
            ("version", &version.version),
            ("file", &version.file),
            ("target", &version.target),
            ("api", &version.api),
            ("sha256", &version.sha256),
            ("by", &version.by),
            (SIGNATURE, signature),
        ];
        let metadata: HashMap<_, _> =
            metadata.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let object = ObjectMetadata {
            name: version.id.clone(),
            description: Some(format!("{} {}", version.plugin, version.label())),
            metadata,
            ..ObjectMetadata::default()
        };
        let failed = failed(STORE, &version.id);
        let mut content = content;
        // Each part is acknowledged in time.
        plugins.objects.put(object, &mut content).await.map(drop).map_err(|error| failed(&error))
    }

    /// Fetches the file of a version and its signature. Neither is verified.
    ///
    /// # Errors
    /// JetStream is away, there is no such object, or its size is not that of the version.
    pub async fn fetch(&self, version: &Version) -> Result<(Vec<u8>, String), RolloutError> {
        let plugins = self.plugins.as_ref().ok_or(RolloutError::NoKey)?;
        let failed = failed(FETCH, &version.id);
        let info = self.info(version).await?;
        let signature = info.metadata.get(SIGNATURE).cloned().unwrap_or_default();
        if signature.len() > LONGEST_SIGNATURE {
            return Err(distrust(version, "its signature is too long; push the file again"));
        }
        let subject = format!("$O.{}.C.{}", info.bucket, info.nuid);
        let mut content = Vec::with_capacity(version.size);
        let mut next = 1;
        // One part at a time, since everything else waits behind those on their way: the client's own
        // reader has up to 2 MiB sent ahead. The timeout is that of each part.
        while content.len() < version.size {
            let part = plugins.parts.direct_get_next_for_subject(&subject, Some(next)).await;
            let part = part.map_err(|error| failed(&error))?;
            if part.payload.is_empty() {
                return Err(distrust(version, "a part of it is empty; push the file again"));
            }
            next = part.sequence + 1;
            content.extend_from_slice(&part.payload);
        }
        Ok((content, signature))
    }

    /// Removes the file of a version, as far as possible.
    pub async fn remove(&self, version: &Version) {
        let Some(plugins) = &self.plugins else { return };
        if let Err(error) = plugins.objects.delete(&version.id).await {
            log::debug!("fleet: cannot remove the object '{}': {error}", version.id);
        }
    }
}

/// Returns the stream of a key-value bucket. The client's own `create_key_value` asks for the account
/// first, and does not understand the answer of a server 2.9.
fn bucket_stream(bucket: &str) -> stream::Config {
    stream::Config {
        name: format!("KV_{bucket}"),
        description: Some("The rollouts of Dropin plugins".to_owned()),
        subjects: vec![format!("$KV.{bucket}.>")],
        max_messages_per_subject: 1,
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        num_replicas: 1,
        discard: stream::DiscardPolicy::New,
        ..stream::Config::default()
    }
}

/// Returns the error of an object that is not the one that its rollout names.
pub fn distrust(version: &Version, problem: &str) -> RolloutError {
    failed(TRUST, &version.id)(&problem)
}

fn failed<'a>(
    operation: &'static str,
    object: &'a str,
) -> impl Fn(&dyn ToString) -> RolloutError + 'a {
    move |cause| RolloutError::Object {
        operation,
        object: object.to_owned(),
        cause: cause.to_string(),
    }
}

/// Returns the error of a request that JetStream did not answer as wanted.
fn away(error: impl std::error::Error) -> RolloutError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if !text.contains(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
        source = cause.source();
    }
    RolloutError::Away(text)
}
