variable "project_id" {
  description = "Project of the system."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project ID: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of all regional resources."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "environment" {
  description = "Environment: dev for experiments, small for a single team, prod with a standby database. All but dev are protected against deletion."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "small", "prod"], var.environment)
    error_message = "environment must be dev, small or prod."
  }
}

variable "images" {
  description = "Images of the services for their first apply, by digest. Later, deploys change them and applies do not. A service added by a later release is `optional` and is created once it has an image."
  type = object({
    api       = string
    processor = string
    tasks     = optional(string)
    delivery  = optional(string)
  })
  nullable = false

  validation {
    condition     = alltrue([for image in values(var.images) : image == null || can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Each of images must be given by digest, because a tag can be moved."
  }
}

variable "database" {
  description = "The database: suffix of its name (new for each new instance), machine, disk, and maximum number of connections, some of which are reserved for migrations and people."
  type = object({
    name_suffix          = string
    tier                 = optional(string, "db-custom-1-3840")
    disk_size_gb         = optional(number, 10)
    disk_size_limit_gb   = optional(number, 100)
    max_connections      = optional(number, 100)
    reserved_connections = optional(number, 15)
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9]{4,8}$", var.database.name_suffix)) && can(regex("[0-9]", var.database.name_suffix))
    error_message = "database.name_suffix must have 4 to 8 lower-case letters and digits, a digit among them."
  }

  validation {
    condition     = var.database.reserved_connections >= 5 && var.database.reserved_connections < var.database.max_connections
    error_message = "database.reserved_connections must be at least 5, and less than database.max_connections."
  }
}

variable "api" {
  description = "The API: number and size of its instances, database connections of one instance, allowed browser origins, public URL (default: its run.app URL), duration of a session, team that anybody can register for (default: none), and private networks that imports may fetch from."
  type = object({
    min_instances             = optional(number, 0)
    max_instances             = optional(number, 4)
    concurrency               = optional(number, 40)
    cpu                       = optional(string, "1")
    memory                    = optional(string, "1Gi")
    database_pool_size        = optional(number, 8)
    cors_allow_origins        = optional(list(string), [])
    public_base_url           = optional(string)
    session_hours             = optional(number, 12)
    open_registration_team_id = optional(string)
    fetch_allow_addresses     = optional(list(string), [])
    log_level                 = optional(string, "INFO")
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.api.database_pool_size >= 1 && var.api.database_pool_size <= 100
    error_message = "api.database_pool_size must be between 1 and 100."
  }

  validation {
    condition     = alltrue([for origin in var.api.cors_allow_origins : can(regex("^https?://[a-z0-9.-]+(:[0-9]+)?$", origin))])
    error_message = "Each of api.cors_allow_origins must be an origin such as https://photos.example.com, without path or wildcard."
  }

  validation {
    condition     = var.api.public_base_url == null || can(regex("^https://[a-z0-9.-]+$", var.api.public_base_url))
    error_message = "api.public_base_url must be an https URL without a path."
  }

  validation {
    condition     = var.api.session_hours >= 1 && var.api.session_hours <= 720 && floor(var.api.session_hours) == var.api.session_hours
    error_message = "api.session_hours must be a whole number of hours between 1 and 720."
  }

  validation {
    condition     = var.api.open_registration_team_id == null || can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.api.open_registration_team_id))
    error_message = "api.open_registration_team_id must be the ID of a team."
  }

  validation {
    condition     = alltrue([for network in var.api.fetch_allow_addresses : try(cidrhost(network, 0) == split("/", network)[0], false)])
    error_message = "Each of api.fetch_allow_addresses must be a network such as 10.1.2.0/24, without an address inside it."
  }

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.api.log_level)
    error_message = "api.log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "processor" {
  description = "The processor: number and size of its instances, images that one instance accepts and processes concurrently, database connections of one instance, and the models for labels and vectors (gs://bucket/prefix, both in one bucket; default: measurements and the built-in descriptor)."
  type = object({
    min_instances      = optional(number, 0)
    max_instances      = optional(number, 10)
    concurrency        = optional(number, 2)
    worker_count       = optional(number, 2)
    cpu                = optional(string, "2")
    memory_mib         = optional(number, 2048)
    database_pool_size = optional(number, 4)
    log_level          = optional(string, "INFO")
    model_path         = optional(string)

    embedding_model_path = optional(string)
  })
  nullable = false
  default  = {}

  validation {
    condition     = try(length(regex("^gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?$", var.processor.embedding_model_path)) > 0, var.processor.embedding_model_path == null)
    error_message = "processor.embedding_model_path must be gs://bucket/prefix, in an existing bucket with the model and its description."
  }

  validation {
    condition     = var.processor.model_path == null || var.processor.embedding_model_path == null || try(split("/", var.processor.model_path)[2] == split("/", var.processor.embedding_model_path)[2], false)
    error_message = "processor.model_path and processor.embedding_model_path must be in the same bucket."
  }

  validation {
    condition     = try(length(regex("^gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?$", var.processor.model_path)) > 0, var.processor.model_path == null)
    error_message = "processor.model_path must be gs://bucket/prefix, in an existing bucket with the model and its description."
  }

  validation {
    condition     = var.processor.concurrency >= 2 && var.processor.concurrency <= 4
    error_message = "processor.concurrency must be between 2 and 4: images use up an instance's CPU and memory long before requests do."
  }

  validation {
    condition     = var.processor.worker_count >= 1 && var.processor.worker_count <= var.processor.concurrency
    error_message = "processor.worker_count must be at least 1 and at most processor.concurrency."
  }

  validation {
    condition     = var.processor.database_pool_size >= 1 && var.processor.database_pool_size <= 100
    error_message = "processor.database_pool_size must be between 1 and 100."
  }

  validation {
    # An original can have 200 MiB, and files of an instance are in its memory. A worker can use 512 MiB.
    condition     = var.processor.memory_mib >= 256 + var.processor.concurrency * 200 + var.processor.worker_count * 512
    error_message = "processor.memory_mib must be at least 256 MiB plus 200 MiB for each concurrent image and 512 MiB for each worker."
  }

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.processor.log_level)
    error_message = "processor.log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "tasks" {
  description = "Housekeeping (image-tasks, which uses the API's image): number of its instances, and database connections of one instance."
  type = object({
    max_instances      = optional(number, 2)
    database_pool_size = optional(number, 4)
    log_level          = optional(string, "INFO")
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.tasks.database_pool_size >= 1 && var.tasks.database_pool_size <= 100
    error_message = "tasks.database_pool_size must be between 1 and 100."
  }

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.tasks.log_level)
    error_message = "tasks.log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "delivery" {
  description = "Delivery (image-delivery, which answers addresses in pages): number and size of its instances, requests that one instance accepts, pictures that it makes concurrently, database connections of one instance, public URL (default: its run.app URL), and bytes a month for each team (default: no limit). Stored addresses contain the public URL: set it before the first is stored."
  type = object({
    min_instances      = optional(number, 0)
    max_instances      = optional(number, 4)
    concurrency        = optional(number, 80)
    worker_count       = optional(number, 1)
    cpu                = optional(string, "1")
    memory_mib         = optional(number, 1024)
    database_pool_size = optional(number, 3)
    public_base_url    = optional(string)
    bytes_per_month    = optional(number)
    log_level          = optional(string, "INFO")
  })
  nullable = false
  default  = {}

  validation {
    # Each worker has an original of up to 64 MiB in memory and can use 512 MiB. The rest is for the service itself, the
    # next original, and 64 MiB of pictures.
    condition     = var.delivery.memory_mib >= 448 + var.delivery.worker_count * 576
    error_message = "delivery.memory_mib must be at least 448 MiB plus 576 MiB for each worker: 1 GiB with one."
  }

  validation {
    condition     = var.delivery.worker_count >= 1 && var.delivery.worker_count <= 32
    error_message = "delivery.worker_count must be between 1 and 32."
  }

  validation {
    condition     = var.delivery.database_pool_size >= 1 && var.delivery.database_pool_size <= 100
    error_message = "delivery.database_pool_size must be between 1 and 100."
  }

  validation {
    condition     = var.delivery.public_base_url == null || can(regex("^https://[a-z0-9.-]+$", var.delivery.public_base_url))
    error_message = "delivery.public_base_url must be an https URL without a path."
  }

  validation {
    condition     = var.delivery.bytes_per_month == null ? true : var.delivery.bytes_per_month >= 1 && floor(var.delivery.bytes_per_month) == var.delivery.bytes_per_month
    error_message = "delivery.bytes_per_month must be a whole number of at least 1."
  }

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.delivery.log_level)
    error_message = "delivery.log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "storage" {
  description = "The buckets: prefix of their names (default: the project ID), origins that may upload directly, retention, and the quota of teams without their own (default: no limit). The trash is purged after `trash_days`. `import_buckets` are existing buckets that image-tasks may read, for the import sources that an admin grants to teams."
  type = object({
    name_prefix           = optional(string)
    direct_upload_origins = optional(list(string), [])
    trash_days            = optional(number, 7)
    soft_delete_days      = optional(number, 7)
    default_quota_bytes   = optional(number)
    default_quota_images  = optional(number)
    import_buckets        = optional(list(string), [])
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.storage.trash_days >= 0 && floor(var.storage.trash_days) == var.storage.trash_days
    error_message = "storage.trash_days must be a whole number of days."
  }

  validation {
    condition     = alltrue([for bucket in var.storage.import_buckets : can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", bucket))])
    error_message = "Each of storage.import_buckets must be the name of a bucket, without gs:// or a folder."
  }

  validation {
    condition     = alltrue([for bucket in var.storage.import_buckets : !startswith(bucket, "${coalesce(var.storage.name_prefix, var.project_id)}-")])
    error_message = "storage.import_buckets must not contain a bucket of this system."
  }

  validation {
    condition     = alltrue([for quota in [var.storage.default_quota_bytes, var.storage.default_quota_images] : quota == null ? true : quota >= 0 && floor(quota) == quota])
    error_message = "storage.default_quota_bytes and storage.default_quota_images must be whole numbers of at least 0."
  }
}

variable "network" {
  description = "Range of the subnet for Cloud Run."
  type = object({
    cidr_range = optional(string, "10.10.0.0/24")
  })
  nullable = false
  default  = {}
}

# A separate variable, because the bootstrap writes it for a single project beside the environment's committed file.
variable "notification_emails" {
  description = "E-mail addresses that receive alerts and budget notifications."
  type        = list(string)
  nullable    = false
}

variable "observability" {
  description = "Set of alerts (default: full in prod, essential in dev and small), service level objectives, retention of audit events, gigabytes of pictures an hour that are unusual (default: 10), and monthly budget."
  type = object({
    alert_set            = optional(string)
    runbook_url          = optional(string)
    audit_retention_days = optional(number, 400)

    delivered_gigabytes_per_hour = optional(number)

    objectives = optional(object({
      availability                = optional(number)
      latency                     = optional(number)
      latency_threshold_ms        = optional(number)
      freshness                   = optional(number)
      freshness_threshold_seconds = optional(number)
      delivery                    = optional(number)
    }), {})
    budget = optional(object({
      billing_account = optional(string)
      currency_code   = optional(string)
      monthly_amount  = optional(number)
      thresholds      = optional(list(number))
    }), {})
  })
  nullable = false
  default  = {}
}

variable "edge" {
  description = "Load balancer with certificates, Cloud Armor and throttling in front of the API, and whether the API is reachable only through it; likewise for delivery on a domain of its own, optionally with Cloud CDN. Off by default, because it costs more than the rest of an idle system. docs/delivery.md describes how to switch."
  type = object({
    enabled             = optional(bool, false)
    exclusive           = optional(bool, false)
    domains             = optional(list(string), [])
    requests_per_minute = optional(number, 1200)
    cached_paths        = optional(list(string), [])
    delivery = optional(object({
      domain              = string
      exclusive           = optional(bool, false)
      cdn                 = optional(bool, false)
      requests_per_minute = optional(number, 6000)
    }))
  })
  nullable = false
  default  = {}

  validation {
    condition     = !var.edge.enabled || length(var.edge.domains) > 0
    error_message = "edge.domains must contain at least one domain if edge.enabled is true."
  }

  validation {
    condition     = !var.edge.exclusive || var.edge.enabled
    error_message = "edge.exclusive requires edge.enabled: without a load balancer, nobody could reach the API."
  }

  validation {
    condition     = !var.edge.exclusive || try(var.api.public_base_url == "https://${var.edge.domains[0]}", false)
    error_message = "edge.exclusive requires api.public_base_url to be https:// and the first of edge.domains: links to the old address would not work."
  }

  validation {
    condition     = var.edge.delivery == null || (var.edge.enabled && var.images.delivery != null)
    error_message = "edge.delivery requires edge.enabled, and images.delivery: without image-delivery there is nothing to put behind it."
  }

  validation {
    condition     = !try(var.edge.delivery.exclusive, false) || try(var.delivery.public_base_url == "https://${var.edge.delivery.domain}", false)
    error_message = "edge.delivery.exclusive requires delivery.public_base_url to be https:// and edge.delivery.domain: stored addresses on the old host would not work."
  }
}

variable "kms_key" {
  description = "KMS key that encrypts database, buckets, messages and secrets. Default: keys managed by Google. docs/operations.md lists what it does not cover. The service agents of Cloud SQL, Cloud Storage, Pub/Sub and Secret Manager must be allowed to use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be the full name of a key: projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
}

variable "vision" {
  description = "Whether teams can choose Cloud Vision for labels, and the endpoint that their images are sent to. eu-vision.googleapis.com stays in the EU."
  type = object({
    enabled  = optional(bool, false)
    endpoint = optional(string, "vision.googleapis.com")
  })
  nullable = false
  default  = {}

  validation {
    condition     = contains(["vision.googleapis.com", "eu-vision.googleapis.com", "us-vision.googleapis.com"], var.vision.endpoint)
    error_message = "vision.endpoint must be vision.googleapis.com, eu-vision.googleapis.com or us-vision.googleapis.com."
  }
}

variable "rate_limit_store" {
  description = "Memorystore in which all instances of the API count requests together. Off by default: each instance then applies its share of a limit."
  type = object({
    enabled   = optional(bool, false)
    node_type = optional(string, "SHARED_CORE_NANO")
  })
  nullable = false
  default  = {}
}
