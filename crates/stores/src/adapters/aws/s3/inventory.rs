//! Everything that is in the bucket, page by page, for an audit: each version of each object, each
//! marker, each unfinished upload, whatever their keys.

use super::super::error::{Effect, corrupt, port_error};
use super::S3Store;
use super::access::needs;
use super::purge::{advance, is_missing, millis};
use cadmill_core::cleanup::residue::{Item, Kind, place_of};
use cadmill_core::domain::ids::{JobId, ObjectKey, Role};
use cadmill_core::ports::PortResult;

const LISTING: &str = "listing everything in the bucket";

/// A position in a listing: a key, and a version or an upload.
type Marker = Option<(String, String)>;

/// What is listed next.
#[derive(Clone)]
enum Step {
    Versions(Marker),
    /// Of a server without versions, after this token.
    Objects(Option<String>),
    Uploads(Marker),
    End,
}

/// A listing of the bucket, or of one prefix.
pub struct Inventory {
    store: S3Store,
    prefix: String,
    step: Step,
}

impl S3Store {
    /// Lists everything in the bucket.
    pub fn inventory(&self) -> Inventory {
        self.inventory_of(String::new())
    }

    fn inventory_of(&self, prefix: String) -> Inventory {
        Inventory { store: self.clone(), prefix, step: Step::Versions(None) }
    }

    /// Everything below one prefix of a job.
    ///
    /// # Errors
    /// As for [`Inventory::next`].
    pub async fn left_of(&self, role: Role, job: JobId) -> PortResult<Vec<Item>> {
        let mut inventory = self.inventory_of(ObjectKey::prefix(role, job));
        let mut items = Vec::new();
        while let Some(page) = inventory.next().await? {
            items.extend(page);
        }
        Ok(items)
    }
}

impl Inventory {
    /// The next page, which may be empty; `None` at the end.
    ///
    /// # Errors
    /// [`cadmill_core::ports::PortError::Refused`] with the permission that is missing; others of the
    /// service. What is left of this kind is then left out: the next call goes on with the other kind.
    pub async fn next(&mut self) -> PortResult<Option<Vec<Item>>> {
        let page = match self.step.clone() {
            Step::Versions(marker) => self.versions(marker).await,
            Step::Objects(token) => self.objects(token).await,
            Step::Uploads(marker) => self.uploads(marker).await,
            Step::End => return Ok(None),
        };
        if page.is_err() {
            self.step = match self.step {
                Step::Versions(_) | Step::Objects(_) => Step::Uploads(None),
                Step::Uploads(_) | Step::End => Step::End,
            };
        }
        page.map(Some)
    }

    async fn versions(&mut self, mut marker: Marker) -> PortResult<Vec<Item>> {
        let (key, version) = marker.clone().unzip();
        let list = self.store.client.list_object_versions().bucket(&self.store.bucket).prefix(&self.prefix);
        let page = match list.set_key_marker(key).set_version_id_marker(version).send().await {
            Ok(page) => page,
            Err(error) if is_missing(&error) => {
                self.step = Step::Objects(None);
                return Ok(Vec::new());
            }
            Err(error) => {
                return Err(needs("s3:ListBucketVersions", port_error(LISTING, Effect::Read, &error)));
            }
        };
        let objects = page.versions().iter().map(|version| Item {
            kind: Kind::Object,
            place: version.key().and_then(place_of),
            size_bytes: version.size().and_then(|size| u64::try_from(size).ok()),
            made: version.last_modified().and_then(millis),
        });
        let markers = page.delete_markers().iter().map(|marker| Item {
            kind: Kind::Marker,
            place: marker.key().and_then(place_of),
            size_bytes: None,
            made: marker.last_modified().and_then(millis),
        });
        let items = objects.chain(markers).collect();
        self.step = match page.is_truncated {
            Some(true) => {
                let next = (
                    page.next_key_marker.unwrap_or_default(),
                    page.next_version_id_marker.unwrap_or_default(),
                );
                advance(&mut marker, next)?;
                Step::Versions(marker)
            }
            _ => Step::Uploads(None),
        };
        Ok(items)
    }

    async fn objects(&mut self, mut token: Option<String>) -> PortResult<Vec<Item>> {
        let list = self.store.client.list_objects_v2().bucket(&self.store.bucket).prefix(&self.prefix);
        let page = list.set_continuation_token(token.clone()).send().await;
        let page = page.map_err(|e| needs("s3:ListBucket", port_error(LISTING, Effect::Read, &e)))?;
        let items = page.contents().iter().map(|object| Item {
            kind: Kind::Object,
            place: object.key().and_then(place_of),
            size_bytes: object.size().and_then(|size| u64::try_from(size).ok()),
            made: object.last_modified().and_then(millis),
        });
        let items = items.collect();
        self.step = match page.is_truncated {
            Some(true) => {
                advance(&mut token, page.next_continuation_token.unwrap_or_default())?;
                Step::Objects(token)
            }
            _ => Step::Uploads(None),
        };
        Ok(items)
    }

    async fn uploads(&mut self, mut marker: Marker) -> PortResult<Vec<Item>> {
        let (key, id) = marker.clone().unzip();
        let list = self.store.client.list_multipart_uploads().bucket(&self.store.bucket).prefix(&self.prefix);
        let page = match list.set_key_marker(key).set_upload_id_marker(id).send().await {
            Ok(page) => page,
            Err(error) if is_missing(&error) => {
                self.step = Step::End;
                return Ok(Vec::new());
            }
            Err(error) => {
                let error = port_error(LISTING, Effect::Read, &error);
                return Err(needs("s3:ListBucketMultipartUploads", error));
            }
        };
        let mut items = Vec::new();
        for upload in page.uploads() {
            let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else {
                return Err(corrupt(LISTING, "an upload has no key or no id"));
            };
            // The sizes of the parts take a request more, and are worth it for one job.
            let size_bytes = if self.prefix.is_empty() { None } else { self.parts(key, id).await };
            let made = upload.initiated().and_then(millis);
            items.push(Item { kind: Kind::Upload, place: place_of(key), size_bytes, made });
        }
        self.step = match page.is_truncated {
            Some(true) => {
                let next = (
                    page.next_key_marker.unwrap_or_default(),
                    page.next_upload_id_marker.unwrap_or_default(),
                );
                advance(&mut marker, next)?;
                Step::Uploads(marker)
            }
            _ => Step::End,
        };
        Ok(items)
    }

    /// The bytes of the parts of an upload; `None` if they cannot be listed.
    async fn parts(&self, key: &str, id: &str) -> Option<u64> {
        let list = self.store.client.list_parts().bucket(&self.store.bucket).key(key).upload_id(id);
        let mut pages = list.into_paginator().send();
        let mut bytes: u64 = 0;
        while let Some(page) = pages.next().await {
            let sizes = page.ok()?;
            let sizes = sizes.parts().iter().filter_map(|part| u64::try_from(part.size()?).ok());
            bytes = sizes.fold(bytes, u64::saturating_add);
        }
        Some(bytes)
    }
}
