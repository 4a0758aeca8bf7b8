variable "project_id" {
  description = "Project that holds the system."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "region" {
  description = "Region of everything that has one."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone."
  }
}

variable "environment" {
  description = "Which environment this is: dev to try things on, small for one team, prod with a standby of the database. Everything but dev is protected against deletion."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["dev", "small", "prod"], var.environment)
    error_message = "environment must be dev, small or prod."
  }
}

variable "images" {
  description = "The services' images at their first apply, by digest. Deploys change them afterwards, and an apply leaves them alone. A service that comes with a later release is `optional`, and made once it has an image."
  type = object({
    api       = string
    processor = string
    tasks     = optional(string)
  })
  nullable = false

  validation {
    condition     = alltrue([for image in values(var.images) : image == null || can(regex("@sha256:[0-9a-f]{64}$", image))])
    error_message = "Each of images must be named by its digest: a tag can be moved."
  }
}

variable "database" {
  description = "The database: the suffix of its name (new for each new instance), its machine, its disk, and how many connections it takes, some of which stay reserved for migrations and people."
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
  description = "The API: its instances and their size, the connections of one instance, the browsers' origins that may call, the URL under which callers reach it (its run.app URL without), how long people stay signed in, the team into which anybody may register (nobody without), and the networks that imports may fetch from although they are not public."
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
    error_message = "Each of api.cors_allow_origins must be an origin such as https://photos.example.com: no path, no star."
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
    error_message = "api.open_registration_team_id must be a team's id."
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
  description = "The processor: its instances and their size, the pictures that one takes and works on at once, the connections of one instance, and the models that answer labels and that make vectors (gs://bucket/prefix, both in one bucket; none: measurements answer, and the built-in descriptor)."
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
    error_message = "processor.embedding_model_path must be gs://bucket/prefix: a bucket that exists, with the model and its description."
  }

  validation {
    condition     = var.processor.model_path == null || var.processor.embedding_model_path == null || try(split("/", var.processor.model_path)[2] == split("/", var.processor.embedding_model_path)[2], false)
    error_message = "processor.model_path and processor.embedding_model_path must be in the same bucket."
  }

  validation {
    condition     = try(length(regex("^gs://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?$", var.processor.model_path)) > 0, var.processor.model_path == null)
    error_message = "processor.model_path must be gs://bucket/prefix: a bucket that exists, with the model and its description."
  }

  validation {
    condition     = var.processor.concurrency >= 2 && var.processor.concurrency <= 4
    error_message = "processor.concurrency must be between 2 and 4: pictures fill an instance's CPU and memory long before requests do."
  }

  validation {
    condition     = var.processor.worker_count >= 1 && var.processor.worker_count <= var.processor.concurrency
    error_message = "processor.worker_count must be at least 1, and not above processor.concurrency."
  }

  validation {
    condition     = var.processor.database_pool_size >= 1 && var.processor.database_pool_size <= 100
    error_message = "processor.database_pool_size must be between 1 and 100."
  }

  validation {
    # An original may have 200 MiB, and a file of an instance lies in its memory; a worker may have 512 MiB.
    condition     = var.processor.memory_mib >= 256 + var.processor.concurrency * 200 + var.processor.worker_count * 512
    error_message = "processor.memory_mib must hold 256 MiB, 200 MiB for each picture taken and 512 MiB for each worker."
  }

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.processor.log_level)
    error_message = "processor.log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "tasks" {
  description = "Housekeeping, the API's image by its second door: its instances, and the connections of one."
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

variable "storage" {
  description = "The buckets: the first part of their names (the project's id without), who may upload straight to them, how long things are kept, and the quota of teams that have none of their own (no limit without). What is in the trash is purged after `trash_days`."
  type = object({
    name_prefix           = optional(string)
    direct_upload_origins = optional(list(string), [])
    trash_days            = optional(number, 7)
    soft_delete_days      = optional(number, 7)
    default_quota_bytes   = optional(number)
    default_quota_images  = optional(number)
  })
  nullable = false
  default  = {}

  validation {
    condition     = var.storage.trash_days >= 0 && floor(var.storage.trash_days) == var.storage.trash_days
    error_message = "storage.trash_days must be a whole number of days."
  }

  validation {
    condition     = alltrue([for quota in [var.storage.default_quota_bytes, var.storage.default_quota_images] : quota == null ? true : quota >= 0 && floor(quota) == quota])
    error_message = "storage.default_quota_bytes and storage.default_quota_images must be whole numbers, 0 at least."
  }
}

variable "network" {
  description = "Range of the subnet that Cloud Run takes its addresses from."
  type = object({
    cidr_range = optional(string, "10.10.0.0/24")
  })
  nullable = false
  default  = {}
}

# A variable of its own: bootstrap writes it for one project, beside what the environment's committed file says.
variable "notification_emails" {
  description = "Addresses that alerts and the budget write to."
  type        = list(string)
  nullable    = false
}

variable "observability" {
  description = "Which alerts there are (prod: full, dev and small: essential), what is promised, how long audit events are kept, and what a month may cost."
  type = object({
    alert_set            = optional(string)
    runbook_url          = optional(string)
    audit_retention_days = optional(number, 400)
    objectives = optional(object({
      availability                = optional(number)
      latency                     = optional(number)
      latency_threshold_ms        = optional(number)
      freshness                   = optional(number)
      freshness_threshold_seconds = optional(number)
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
  description = "A load balancer with certificates, Cloud Armor and throttling in front of the API, and whether it is the only way in. Off by default: it costs more than all the rest of an idle system. docs/delivery.md has the steps from one to the other."
  type = object({
    enabled             = optional(bool, false)
    exclusive           = optional(bool, false)
    domains             = optional(list(string), [])
    requests_per_minute = optional(number, 1200)
    cached_paths        = optional(list(string), [])
  })
  nullable = false
  default  = {}

  validation {
    condition     = !var.edge.enabled || length(var.edge.domains) > 0
    error_message = "edge.domains must name at least one domain where edge.enabled is true."
  }

  validation {
    condition     = !var.edge.exclusive || var.edge.enabled
    error_message = "edge.exclusive needs edge.enabled: without a load balancer nobody would reach the API."
  }

  validation {
    condition     = !var.edge.exclusive || try(var.api.public_base_url == "https://${var.edge.domains[0]}", false)
    error_message = "edge.exclusive needs api.public_base_url to be https:// and the first of edge.domains: links to the old address would lead nowhere."
  }
}

variable "kms_key" {
  description = "Key that encrypts database, buckets, messages and secrets; Google's own without it. docs/operations.md says what stays under Google's. The service agents of Cloud SQL, Cloud Storage, Pub/Sub and Secret Manager must be allowed to use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be a key's full name: projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
}

variable "vision" {
  description = "Let teams choose Cloud Vision for labels; their pictures are sent to its endpoint. eu-vision.googleapis.com stays in the EU."
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
  description = "A Memorystore in which all instances of the API count together. Off by default: without it each instance takes its share of a limit."
  type = object({
    enabled   = optional(bool, false)
    node_type = optional(string, "SHARED_CORE_NANO")
  })
  nullable = false
  default  = {}
}
