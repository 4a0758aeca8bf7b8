locals {
  # Environment of all services; image_core reads it in the same way in each.
  shared_environment = merge(
    {
      GOOGLE_CLOUD_PROJECT          = var.project_id
      IMAGE_UPLOAD_BUCKET_NAME      = module.storage.bucket_names["originals"]
      IMAGE_DERIVATIVES_BUCKET_NAME = module.storage.bucket_names["derivatives"]
      IMAGE_SCRATCH_BUCKET_NAME     = module.storage.bucket_names["scratch"]
      PUBSUB_UPLOADS_TOPIC          = module.events.topic_names["uploads"]
      PUBSUB_EVENTS_TOPIC           = module.events.topic_names["events"]
      PUBSUB_ANALYSES_TOPIC         = module.events.topic_names["analyses"]
      PUBSUB_RENDITIONS_TOPIC       = module.events.topic_names["renditions"]
      PUBSUB_TASKS_TOPIC            = module.events.topic_names["tasks"]
      CLOUD_SQL_INSTANCE            = module.database.connection_name
      DATABASE_NAME                 = module.database.database_name
    },
    var.storage.default_quota_bytes == null ? {} : { DEFAULT_QUOTA_BYTES = tostring(var.storage.default_quota_bytes) },
    var.storage.default_quota_images == null ? {} : { DEFAULT_QUOTA_IMAGES = tostring(var.storage.default_quota_images) },
  )

  api_environment = merge(
    local.shared_environment,
    {
      DATABASE_USER       = module.database.user_names["api"]
      DATABASE_POOL_SIZE  = tostring(var.api.database_pool_size)
      LOG_LEVEL           = var.api.log_level
      CORS_ALLOW_ORIGINS  = jsonencode(var.api.cors_allow_origins)
      MAX_INSTANCES       = tostring(var.api.max_instances)
      REQUEST_CONCURRENCY = tostring(var.api.concurrency)
      # Cloud Run's front end appends the address of its caller. If that is the load balancer, the address before it is
      # the client's. So both entrances can be open at once, and closing one changes nothing here.
      TRUSTED_PROXY_DEPTH     = "1"
      TRUSTED_PROXY_ADDRESSES = jsonencode(var.edge.enabled ? [module.edge[0].address] : [])
      # As long as the time limit of a request; otherwise an upload would outlive its row.
      UPLOAD_DEADLINE_SECONDS = tostring(local.request_seconds.api)
      FETCH_ALLOW_ADDRESSES   = jsonencode(var.api.fetch_allow_addresses)
      SESSION_HOURS           = tostring(var.api.session_hours)
      TRASH_RETENTION_DAYS    = tostring(var.storage.trash_days)
      # All are read at their first use: the API starts before the migration job has written a version.
      TOKEN_SIGNING_SECRET         = module.secrets.secret_names["image-manager-token-signing-keys"]
      DELIVERY_MASTER_SECRET       = module.secrets.secret_names["image-manager-delivery-master"]
      PURGED_HASH_MASTER_SECRET    = module.secrets.secret_names["image-manager-purged-hash-master"]
      WEBHOOK_MASTER_SECRET        = module.secrets.secret_names["image-manager-webhook-master"]
      UPLOAD_SESSION_MASTER_SECRET = module.secrets.secret_names["image-manager-upload-session-master"]
    },
    local.delivery_url == null ? {} : { DELIVERY_URL = local.delivery_url },
    var.api.public_base_url == null ? {} : { PUBLIC_BASE_URL = var.api.public_base_url },
    var.api.open_registration_team_id == null ? {} : { OPEN_REGISTRATION_TEAM_ID = var.api.open_registration_team_id },
    !var.vision.enabled ? {} : { VISION_ENABLED = "true" },
    !var.rate_limit_store.enabled ? {} : {
      RATE_LIMIT_URL    = module.rate_limit_store[0].url
      RATE_LIMIT_CA_PEM = module.rate_limit_store[0].ca_certificates
    },
  )

  processor_environment = merge(
    local.shared_environment,
    {
      DATABASE_USER              = module.database.user_names["processor"]
      DATABASE_POOL_SIZE         = tostring(var.processor.database_pool_size)
      LOG_LEVEL                  = var.processor.log_level
      PUSH_AUDIENCE              = local.processor_audience
      PUSH_SERVICE_ACCOUNT_EMAIL = local.caller_emails["image-push"]
      PUSH_MAX_DELIVERY_ATTEMPTS = tostring(local.max_delivery_attempts)
      WORKER_COUNT               = tostring(var.processor.worker_count)
      WORKER_MEMORY_LIMIT_BYTES  = "536870912"
      JOB_DEADLINE_SECONDS       = "60"
      # Renditions are delivered again as long as no worker is idle, so they have more attempts.
      PUSH_RENDITIONS_MAX_DELIVERY_ATTEMPTS = tostring(local.renditions_max_delivery_attempts)
      # A claim is released after nine tenths of its lease, within the time limit of the request.
      LEASE_SECONDS = tostring(local.request_seconds.processor)
      # Read only by the previous release, which an apply restarts and which sweeps until image-tasks exists.
      SCHEDULER_SERVICE_ACCOUNT_EMAIL = local.caller_emails["image-scheduler"]
      TRASH_RETENTION_DAYS            = tostring(var.storage.trash_days)
    },
    var.processor.model_path == null ? {} : { MODEL_PATH = var.processor.model_path },
    var.processor.embedding_model_path == null ? {} : { EMBEDDING_MODEL_PATH = var.processor.embedding_model_path },
    !var.vision.enabled ? {} : { VISION_ENDPOINT = var.vision.endpoint },
  )

  tasks_environment = merge(
    local.shared_environment,
    {
      DATABASE_USER                   = lookup(module.database.user_names, "tasks", "")
      DATABASE_POOL_SIZE              = tostring(var.tasks.database_pool_size)
      LOG_LEVEL                       = var.tasks.log_level
      TASKS_AUDIENCE                  = local.tasks_audience
      SCHEDULER_SERVICE_ACCOUNT_EMAIL = local.caller_emails["image-scheduler"]
      PUSH_SERVICE_ACCOUNT_EMAIL      = local.caller_emails["image-push"]
      TRASH_RETENTION_DAYS            = tostring(var.storage.trash_days)
      FETCH_ALLOW_ADDRESSES           = jsonencode(var.api.fetch_allow_addresses)
      PURGED_HASH_MASTER_SECRET       = module.secrets.secret_names["image-manager-purged-hash-master"]
      WEBHOOK_MASTER_SECRET           = module.secrets.secret_names["image-manager-webhook-master"]
      # The processor's value: image-tasks releases its expired claims.
      LEASE_SECONDS = tostring(local.request_seconds.processor)
    },
    var.delivery.bytes_per_month == null ? {} : { DELIVERY_BYTES_PER_MONTH = tostring(var.delivery.bytes_per_month) },
  )

  delivery_environment = merge(
    local.shared_environment,
    {
      DATABASE_USER             = lookup(module.database.user_names, "delivery", "")
      DATABASE_POOL_SIZE        = tostring(var.delivery.database_pool_size)
      LOG_LEVEL                 = var.delivery.log_level
      DELIVERY_MASTER_SECRET    = module.secrets.secret_names["image-manager-delivery-master"]
      WORKER_COUNT              = tostring(var.delivery.worker_count)
      WORKER_MEMORY_LIMIT_BYTES = "536870912"
    },
    var.api.public_base_url == null ? {} : { PUBLIC_BASE_URL = var.api.public_base_url },
    var.delivery.bytes_per_month == null ? {} : { DELIVERY_BYTES_PER_MONTH = tostring(var.delivery.bytes_per_month) },
  )
}

# Open to everybody and protected by keys. With an exclusive load balancer, only its requests are admitted.
module "image_api" {
  source = "../modules/run_service"

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  name                = "image-api"
  purpose             = "Answers the HTTP API."
  deletion_protection = local.protected

  container = {
    image       = var.images.api
    command     = ["python", "-m", "image_api"]
    environment = local.api_environment
    cpu         = var.api.cpu
    memory      = var.api.memory
  }

  scaling = {
    min_instances           = var.api.min_instances
    max_instances           = var.api.max_instances
    concurrency             = var.api.concurrency
    request_timeout_seconds = local.request_seconds.api
  }

  access = {
    ingress = var.edge.exclusive ? "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" : "INGRESS_TRAFFIC_ALL"
    public  = true
  }

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
  }

  depends_on = [google_project_service.this]
}

# Called only by Pub/Sub, through its run.app URL.
module "image_processor" {
  source = "../modules/run_service"

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  name                = "image-processor"
  purpose             = "Processes the images that were uploaded."
  deletion_protection = local.protected

  container = {
    image       = var.images.processor
    command     = ["python", "-m", "image_processor"]
    environment = local.processor_environment
    cpu         = var.processor.cpu
    memory      = "${var.processor.memory_mib}Mi"
  }

  scaling = {
    min_instances           = var.processor.min_instances
    max_instances           = var.processor.max_instances
    concurrency             = var.processor.concurrency
    request_timeout_seconds = local.request_seconds.processor
  }

  access = {
    ingress          = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    public           = false
    custom_audiences = [local.processor_audience]
  }

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
    tags       = local.denied_tags.processor
  }

  depends_on = [google_project_service.this]
}

# Housekeeping and background work, with the API's image. Called only by Cloud Scheduler and Pub/Sub, through its run.app
# URL.
module "image_tasks" {
  source = "../modules/run_service"
  count  = var.images.tasks == null ? 0 : 1

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  name                = "image-tasks"
  purpose             = "Repairs what was left behind, and removes what is kept no longer."
  deletion_protection = local.protected

  container = {
    image       = var.images.tasks
    command     = ["python", "-m", "image_api.tasks_app"]
    environment = local.tasks_environment
  }

  scaling = {
    max_instances           = var.tasks.max_instances
    concurrency             = 80
    request_timeout_seconds = local.request_seconds.tasks
  }

  access = {
    ingress          = "INGRESS_TRAFFIC_INTERNAL_ONLY"
    public           = false
    custom_audiences = [local.tasks_audience]
  }

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
    tags       = local.denied_tags.tasks
  }

  depends_on = [google_project_service.this]
}

# Open to everybody: each address carries its own signature. With an exclusive load balancer of its own, only that
# admits requests.
module "image_delivery" {
  source = "../modules/run_service"
  count  = var.images.delivery == null ? 0 : 1

  project_id          = var.project_id
  region              = var.region
  labels              = local.labels
  name                = "image-delivery"
  purpose             = "Answers delivery addresses with pictures."
  deletion_protection = local.protected

  container = {
    image       = var.images.delivery
    command     = ["python", "-m", "image_delivery"]
    environment = local.delivery_environment
    cpu         = var.delivery.cpu
    memory      = "${var.delivery.memory_mib}Mi"
  }

  scaling = {
    min_instances           = var.delivery.min_instances
    max_instances           = var.delivery.max_instances
    concurrency             = var.delivery.concurrency
    request_timeout_seconds = local.request_seconds.delivery
  }

  access = {
    ingress = try(var.edge.delivery.exclusive, false) ? "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" : "INGRESS_TRAFFIC_ALL"
    public  = true
  }

  network = {
    network_id = module.network.network_id
    subnet_id  = module.network.subnet_id
    tags       = local.denied_tags.delivery
  }

  depends_on = [google_project_service.this]
}
